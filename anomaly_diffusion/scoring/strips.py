"""Maps of large photographs a few rows at a time: what looks at near pixels alone needs no more of them at once."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

__all__ = ["by_strips", "stacked", "strips"]

_PIXELS = 2**18  # of a strip


def strips(height: int, width: int, pixels: int = _PIXELS) -> list[slice]:
    """Rows of a photograph that are looked at together: all of them where it has no more `pixels`."""
    rows = height if torch.compiler.is_exporting() else max(1, pixels // width)
    return [slice(start, min(start + rows, height)) for start in range(0, height, rows)]


def by_strips(act: Callable[..., Tensor], reach: int, *images: Tensor, pixels: int = _PIXELS) -> Tensor:
    """What `act` makes of images, (..., H, W), strip by strip.

    Args:
        act: from images, or as many rows of each, to a tensor with the same rows; it repeats the last one at a border.
        reach: how many rows above and below a pixel `act` looks at.
        images: (..., H, W), or (..., 1, _), which all rows have in common.
        pixels: of a strip, at most.
    """
    height, width = images[0].shape[-2:]
    parts = strips(height, width, pixels)
    if len(parts) == 1:
        return act(*images)
    whole: Tensor | None = None
    for part in parts:
        first, last = max(0, part.start - reach), min(height, part.stop + reach)
        seen = (image if image.shape[-2] == 1 else image[..., first:last, :] for image in images)
        found = act(*seen)[..., part.start - first : part.stop - first, :]
        whole = found.new_empty(*found.shape[:-2], height, width) if whole is None else whole
        whole[..., part, :] = found
    assert whole is not None
    return whole


def stacked(maps: Iterable[Tensor], count: int) -> Tensor:
    """So many maps, (B, D, H, W), beside each other, (B, D, count, H, W), without all of them in memory twice."""
    if torch.compiler.is_exporting():
        return torch.stack(list(maps), dim=2)
    whole: Tensor | None = None
    for number, one in enumerate(maps):
        whole = one.new_empty(*one.shape[:2], count, *one.shape[2:]) if whole is None else whole
        whole[:, :, number] = one
    assert whole is not None
    return whole
