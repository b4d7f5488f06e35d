"""Maps of large photographs a few rows at a time: what looks at near pixels alone needs no more of them at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["by_strips", "stacked", "strips"]

_PIXELS = 2**18  # of a strip


def strips(height: int, width: int, pixels: int = _PIXELS) -> list[slice]:
    """Rows of a photograph that are looked at together: all of them where it has no more `pixels`."""
    rows = max(1, pixels // width)
    return [slice(start, min(start + rows, height)) for start in range(0, height, rows)]


def by_strips(act: Callable[..., Tensor], reach: int, *images: Tensor, pixels: int = _PIXELS) -> Tensor:
    """What `act` makes of images, (..., H, W), strip by strip.

    Args:
        act: from images, or as many rows of each, to a tensor with the same rows; it repeats the last one at a border.
        reach: how many rows above and below a pixel `act` looks at.
        images: (..., H, W), or (..., 1, _), which all rows have in common.
        pixels: of a strip, at most.
    """
    if torch.compiler.is_exporting():  # whose sides are no numbers
        return act(*images)
    height, width = images[0].shape[-2:]
    parts = strips(height, width, pixels)
    if len(parts) == 1:
        return act(*images)
    whole = torch.empty(0)
    for part in parts:
        first, last = max(0, part.start - reach), min(height, part.stop + reach)
        seen = (image if image.shape[-2] == 1 else image[..., first:last, :] for image in images)
        found = act(*seen)[..., part.start - first : part.stop - first, :]
        whole = whole if part.start else found.new_empty(*found.shape[:-2], height, width)
        whole[..., part, :] = found
    return whole


def stacked(makers: Sequence[Callable[[], Tensor]]) -> Tensor:
    """The maps, (B, D, H, W), that each gives, side by side, (B, D, K, H, W), with no more than one in memory twice."""
    if torch.compiler.is_exporting():
        return torch.stack([make() for make in makers], dim=2)
    whole = torch.empty(0)
    for number, make in enumerate(makers):
        maps = make()
        whole = whole if number else maps.new_empty(*maps.shape[:2], len(makers), *maps.shape[2:])
        whole[:, :, number] = maps
        del maps  # before the next are made
    return whole
