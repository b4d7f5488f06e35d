"""Tiles over a photograph, free of torch: where they lie, and what each of them gives to the whole."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, NamedTuple

__all__ = ["GRID", "Axis", "Span", "Tile", "Tiling", "Walk", "Watch", "chunks"]

GRID = 16  # pixels; tiles begin at multiples of it, so that cells of what a network makes of neighbours coincide
Watch = Callable[[Iterator[Any], int], Iterable[Any]]
"""Goes through so many steps, and may show how far it is."""


class Tiling(NamedTuple):
    """Tiles by which photographs are judged that are larger than what a network is to see at once.

    Attributes:
        height: of a tile, in pixels of the frame.
        width: likewise.
        overlap: pixels that neighbouring tiles share at least.
        scale: of the frame, in pixels of the file.
    """

    height: int
    width: int
    overlap: int
    scale: float = 1.0


class Span(NamedTuple):
    """One side of a tile: where it begins, and from where to where its results are used; all in the photograph."""

    start: int
    first: int
    last: int


Tile = tuple[Span, Span]


@dataclass(frozen=True)
class Axis:
    """Height or width of a photograph, and its tiles.

    Attributes:
        side: of the photograph, in pixels.
        tile: that of a tile.
        spans: of the tiles, in their order.
    """

    side: int
    tile: int
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, side: int, tile: int, overlap: int) -> "Axis":
        """Tiles that are evenly spread; one that is as small as the photograph, if that is no larger."""
        if side <= tile:
            return cls(side, side, (Span(0, 0, side),))
        padded = math.ceil(side / GRID) * GRID
        last = math.ceil((padded - overlap) / (tile - overlap)) - 1
        starts = [round(number * (padded - tile) / last / GRID) * GRID for number in range(last + 1)]
        inner = [(before + tile + after) // (2 * GRID) * GRID for before, after in pairwise(starts)]
        spans = zip(starts, [0, *inner], [*inner, padded], strict=True)
        return cls(side, tile, tuple(Span(*span) for span in spans))

    @property
    def padded(self) -> int:
        """The side with what the last tile reaches beyond it."""
        return self.spans[-1].last

    def stride(self, cells: int) -> int:
        """Pixels of a cell, of which a tile has so many.

        Raises:
            ValueError: cells of neighbouring tiles do not coincide.
        """
        stride = self.tile // cells
        if len(self.spans) > 1 and (stride * cells != self.tile or GRID % stride):
            raise ValueError(
                f"A tile of {self.tile} pixels has {cells} cells, which do not coincide with those of its neighbours. "
                f"Take a codec, or cells of activations, whose stride in pixels divides {GRID}, or frames without "
                "`tiles`."
            )
        return stride

    def cells(self, cells: int) -> int:
        """How many the photograph has, where a tile has so many."""
        return cells if len(self.spans) == 1 else self.padded // self.stride(cells)

    def kept(self, span: Span, cells: int) -> tuple[slice, slice]:
        """Cells of the photograph that a tile gives, and which of its own they are."""
        if len(self.spans) == 1:
            return slice(None), slice(None)
        first, last, start = (pixel // self.stride(cells) for pixel in (span.first, span.last, span.start))
        return slice(first, last), slice(first - start, last - start)


@dataclass(frozen=True)
class Walk:
    """The tiles of photographs of one size; of arrays of NumPy and of tensors alike, whose last two axes are a grid."""

    rows: Axis
    columns: Axis

    @classmethod
    def over(cls, size: Sequence[int], tiles: Tiling) -> "Walk":
        """That over photographs of a height and width."""
        height, width = size
        return cls(Axis.of(height, tiles.height, tiles.overlap), Axis.of(width, tiles.width, tiles.overlap))

    @property
    def tiles(self) -> list[Tile]:
        """All tiles, row by row."""
        return list(product(self.rows.spans, self.columns.spans))

    def box(self, tile: Tile) -> tuple[slice, slice]:
        """Its pixels in the photograph."""
        row, column = tile
        return slice(row.start, row.start + self.rows.tile), slice(column.start, column.start + self.columns.tile)

    def place(self, tile: Tile) -> tuple[float, ...]:
        """Its top, left, bottom and right in the photograph, which reaches from -1 to 1."""
        row, column = tile
        ends = (row.start, column.start, row.start + self.rows.tile, column.start + self.columns.tile)
        sides = (self.rows.side, self.columns.side) * 2
        return tuple(2 * end / side - 1 for end, side in zip(ends, sides, strict=True))

    def size(self, cells: Sequence[int]) -> tuple[int, int]:
        """Height and width of what is put together, in cells, of which a tile has so many."""
        height, width = cells
        return self.rows.cells(height), self.columns.cells(width)

    def put(self, whole: Any, part: Any, tiles: Sequence[Tile]) -> None:
        """Write into `whole`, the cells of one photograph, what lies nearer to the centre of each of some tiles.

        Args:
            whole: (1, ..., h, w), of the `size` of the photograph.
            part: (N, ..., h, w), what was made of the tiles.
            tiles: these N.
        """
        height, width = part.shape[-2:]
        for one, (row, column) in zip(part, tiles, strict=True):
            (down, inner), (along, across) = self.rows.kept(row, height), self.columns.kept(column, width)
            whole[0, ..., down, along] = one[..., inner, across]

    def trimmed(self, whole: Any) -> Any:
        """Without what lies beyond the photograph, but for cells that it begins."""
        height, width = (
            math.ceil(axis.side * cells / axis.padded)
            for axis, cells in zip((self.rows, self.columns), whole.shape[-2:], strict=True)
        )
        return whole[..., :height, :width]


def chunks(tiles: Sequence[Tile], count: int) -> list[Sequence[Tile]]:
    """The same, at most `count` together."""
    return [tiles[start : start + count] for start in range(0, len(tiles), count)]
