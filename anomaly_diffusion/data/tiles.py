"""Tiles: photographs keep their own resolution, and networks see windows of them."""

import math
from dataclasses import dataclass

from anomaly_diffusion.data.framing import Box, Placement, Policy, Resize
from anomaly_diffusion.tiling import GRID, Tiling

__all__ = ["Native", "Tiles"]


@dataclass(frozen=True)
class Tiles:
    """How photographs are seen that are too large to be shrunk: by tiles of their own resolution.

    The frame of a photograph has its own size, times `scale`, and less than 16 pixels of padding.

    What is learnt by position is learnt by position on the photograph, never in a tile, where the same place may show
    anything. Photographs of several sizes have no positions in common unless all are stretched to one `frame`.

    Attributes:
        size: height and width of a tile, in pixels, multiples of 16.
        overlap: pixels that neighbouring tiles share at least, a multiple of 16; the map of a tile is used up to the
            middle of it. Twice as far as a network sees makes a map without seams.
        scale: factor by which photographs are made smaller first, in (0, 1].
        frame: height and width to which all photographs are stretched, rounded up to multiples of 16: take about their
            own. None: each keeps its own.

    Raises:
        ValueError: a number lies outside its range.
    """

    size: tuple[int, int] = (512, 512)
    overlap: int = 128
    scale: float = 1.0
    frame: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if min(self.size) < GRID or any(side % GRID for side in self.size):
            raise ValueError(f"`tiles.size` must be positive multiples of {GRID}, got {list(self.size)}.")
        if self.overlap % GRID or not 0 <= self.overlap < min(self.size):
            raise ValueError(f"`tiles.overlap` must be a multiple of {GRID} below the size, got {self.overlap}.")
        if not 0 < self.scale <= 1:
            raise ValueError(f"`tiles.scale` must lie in (0, 1], got {self.scale}.")
        if self.frame is not None and self.scale != 1:
            raise ValueError(f"`tiles.scale` must be 1 with a `frame`, got {self.scale}.")
        if self.frame is not None and min(self.frame) < 1:
            raise ValueError(f"`tiles.frame` must be positive, or null, got {list(self.frame)}.")

    @property
    def tiling(self) -> Tiling:
        """What a detector is told."""
        return Tiling(*self.size, self.overlap, self.scale)

    def frame_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the frame of a photograph of such a size."""
        sides = zip(self.frame or _scaled(size, self.scale), self.size, strict=True)
        height, width = (max(tile, math.ceil(side / GRID) * GRID) for side, tile in sides)
        return height, width

    def placing(self) -> Policy:
        """Where photographs go in their frames."""
        return Native(self.scale) if self.frame is None else Resize()

    def parts(self, size: tuple[int, int]) -> int:
        """How many crops of a tile's size have the pixels of a photograph."""
        height, width = self.frame_of(size)
        return math.ceil(height * width / (self.size[0] * self.size[1]))


class Native(Policy):
    """The whole photograph keeps its own resolution in the middle of the frame.

    Args:
        scale: factor by which it is made smaller, in (0, 1].
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def place(self, size: tuple[int, int], image_size: tuple[int, int]) -> Placement:
        """Return the placement of the whole in the middle."""
        inner = _scaled(size, self.scale)
        top, left = ((side - part) // 2 for side, part in zip(image_size, inner, strict=True))
        return Placement(Box(0, 0, *size), Box(top, left, *inner), image_size)


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    height, width = (max(1, round(scale * side)) for side in size)
    return height, width
