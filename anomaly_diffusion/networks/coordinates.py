"""Where in its frame each position of an image lies, as channels that a network can read."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_diffusion.types import Images, Places

__all__ = ["coordinates", "whole"]

_MIDDLE = 5  # halvings of a frame down to a cell: then a frame of 128 pixels in patches of 2 is told 0


def whole(x_t: Images) -> Places:
    """The place of whole frames."""
    return x_t.new_tensor([-1.0, -1.0, 1.0, 1.0]).expand(x_t.shape[0], 4)


def coordinates(place: Places, cells: Sequence[int], size: tuple[float, float]) -> Float[Tensor, "B 3 _ _"]:
    """Row and column of each cell's centre in a frame that reaches from -1 to 1, and the binary logarithm of its side.

    Args:
        place: of the images.
        cells: how many there are below and beside each other, with those of the padding.
        size: height and width of the images, in cells.
    """
    steps = (place[:, 2:] - place[:, :2]) / place.new_tensor(size)
    centres = [
        place[:, axis, None] + steps[:, axis, None] * (torch.arange(count, device=place.device) + 0.5)
        for axis, count in enumerate(cells)
    ]
    rows, columns = centres[0][:, :, None], centres[1][:, None, :]
    side = steps.log2().mean(1)[:, None, None] + _MIDDLE
    return torch.stack([part.expand(-1, *cells) for part in (rows, columns, side)], dim=1)
