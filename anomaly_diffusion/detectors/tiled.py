"""Judging on tiles: networks see one tile at a time, and everything after them sees the photograph.

A detector walks over a photograph where it asks networks, between the image and what a codec compares. What comes back
is put together on the grid of the photograph: residuals, statistics by position, memories, calibration, fusion, pooling
and pictures know nothing of tiles, and what holds for a frame holds for a photograph.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.detectors.micro_batching import MicroBatcher
from anomaly_diffusion.diffusion.noise import mix
from anomaly_diffusion.types import Decoded, ImageBatch, PerImage, Tiling

__all__ = ["Watch", "over_tiles", "seen_once", "tiles_of"]

Result = TypeVar("Result", bound=Tensor | PerImage)
Watch = Callable[[Iterator[Any], int], Iterable[Any]]
"""Goes through so many steps, and may show how far it is."""

_GRID = 16  # pixels; tiles begin at multiples of it, so that cells of what a network makes of neighbours coincide
_AT_ONCE = 8  # tiles that are looked at together where nothing is put together


class _Span(NamedTuple):
    """One side of a tile: where it begins, and from where to where its results are used; all in the photograph."""

    start: int
    first: int
    last: int


@dataclass(frozen=True)
class _Axis:
    """Height or width of a photograph, and its tiles.

    Attributes:
        side: of the photograph, in pixels.
        tile: that of a tile.
        spans: of the tiles, in their order.
    """

    side: int
    tile: int
    spans: tuple[_Span, ...]

    @classmethod
    def of(cls, side: int, tile: int, overlap: int) -> "_Axis":
        """Tiles that are evenly spread; one that is as small as the photograph, if that is no larger."""
        if side <= tile:
            return cls(side, side, (_Span(0, 0, side),))
        padded = math.ceil(side / _GRID) * _GRID
        last = math.ceil((padded - overlap) / (tile - overlap)) - 1
        starts = [round(number * (padded - tile) / last / _GRID) * _GRID for number in range(last + 1)]
        inner = [(before + tile + after) // (2 * _GRID) * _GRID for before, after in pairwise(starts)]
        spans = zip(starts, [0, *inner], [*inner, padded], strict=True)
        return cls(side, tile, tuple(_Span(*span) for span in spans))

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
        if len(self.spans) > 1 and (stride * cells != self.tile or _GRID % stride):
            raise ValueError(
                f"A tile of {self.tile} pixels has {cells} cells, which do not coincide with those of its neighbours. "
                f"Take a codec, or cells of activations, whose stride in pixels divides {_GRID}, or frames without "
                "`tiles`."
            )
        return stride

    def cells(self, cells: int) -> int:
        """How many the photograph has, where a tile has so many."""
        return cells if len(self.spans) == 1 else self.padded // self.stride(cells)

    def kept(self, span: _Span, cells: int) -> tuple[slice, slice]:
        """Cells of the photograph that a tile gives, and which of its own they are."""
        if len(self.spans) == 1:
            return slice(None), slice(None)
        first, last, start = (pixel // self.stride(cells) for pixel in (span.first, span.last, span.start))
        return slice(first, last), slice(first - start, last - start)


@dataclass(frozen=True)
class _Walk:
    """The tiles of photographs of one size."""

    rows: _Axis
    columns: _Axis

    @classmethod
    def over(cls, batch: ImageBatch, tiles: Tiling) -> "_Walk":
        """That over the photographs of a batch."""
        height, width = batch.image.shape[-2:]
        return cls(_Axis.of(height, tiles.height, tiles.overlap), _Axis.of(width, tiles.width, tiles.overlap))

    @property
    def tiles(self) -> list[tuple[_Span, _Span]]:
        """All tiles, row by row."""
        return list(product(self.rows.spans, self.columns.spans))

    def padded(self, batch: ImageBatch) -> ImageBatch:
        """A photograph that repeats its border as far as the last tiles reach; the rest is not valid."""
        below, beside = self.rows.padded - self.rows.side, self.columns.padded - self.columns.side
        if not below and not beside:
            return batch
        padding = (0, beside, 0, below)
        image = F.pad(batch.image, padding, mode="replicate")
        return batch._replace(image=image, mask=F.pad(batch.mask, padding), valid=F.pad(batch.valid, padding))

    def cut(self, batch: ImageBatch, tiles: Sequence[tuple[_Span, _Span]], once: bool = False) -> ImageBatch:
        """Tiles of one photograph as a batch; each knows its place, and has a key, hence noise, of its own.

        Args:
            batch: the photograph, `padded`.
            tiles: which.
            once: whether pixels are valid only where the tile's results are used: each pixel in one tile.
        """
        boxes = [self._box(row, column) for row, column in tiles]
        image, mask, valid = (torch.cat([part[..., *box] for box in boxes]) for part in batch[:3])
        if once:
            valid &= torch.cat([self._used(row, column).to(valid.device) for row, column in tiles])
        count, key = len(tiles), int(batch.key[0])
        keys = [mix(key, row.start, column.start) for row, column in tiles]
        places = [self._place(row, column) for row, column in tiles]
        alike = (batch.label, batch.category, batch.size)
        label, category, size = (part.expand(count, *part.shape[1:]) for part in alike)
        return ImageBatch(
            *(image, mask, valid, label, category),
            torch.tensor(keys, device=batch.key.device),
            *(size, batch.path * count, batch.kind * count),
            image.new_tensor(places),
            categories=batch.categories,
        )

    def _box(self, row: _Span, column: _Span) -> tuple[slice, slice]:
        return slice(row.start, row.start + self.rows.tile), slice(column.start, column.start + self.columns.tile)

    def _used(self, row: _Span, column: _Span) -> Tensor:
        used = torch.zeros(1, 1, self.rows.tile, self.columns.tile, dtype=torch.bool)
        (_, inner), (_, across) = self.rows.kept(row, self.rows.tile), self.columns.kept(column, self.columns.tile)
        used[..., inner, across] = True
        return used

    def _place(self, row: _Span, column: _Span) -> tuple[float, ...]:
        ends = (row.start, column.start, row.start + self.rows.tile, column.start + self.columns.tile)
        sides = (self.rows.side, self.columns.side) * 2
        return tuple(2 * end / side - 1 for end, side in zip(ends, sides, strict=True))


def over_tiles(
    act: Callable[[ImageBatch], Result], batch: ImageBatch, micro_batches: MicroBatcher, watch: Watch | None = None
) -> Result:
    """What `act` makes of the tiles of each photograph, put together on the photograph's own grid.

    Each tile gives what lies nearer to its centre than to that of its neighbour: nothing is blended. A photograph that
    is no larger than a tile is acted on as if there were no tiles. No more than a few tiles are in memory at once.

    Args:
        act: from images to a tensor, or a record of tensors, whose last two axes are a grid over the image.
        batch: photographs, with `tiles`.
        micro_batches: hands tiles on.
        watch: is told how far it is.

    Raises:
        ValueError: the photographs have no tiles, or cells of neighbouring tiles do not coincide.
    """
    if batch.tiles is None:
        raise ValueError("`batch.tiles` must say how to walk, got None.")
    walk, whole = _Walk.over(batch, batch.tiles), batch._replace(tiles=None)
    if len(walk.tiles) == 1:
        return act(whole)
    if len(batch.path) == 1:  # large, hence not copied
        return _of_one(act, whole, walk, micro_batches, watch)
    numbers = torch.arange(len(batch.path)).split(1)
    results = [_of_one(act, whole.rows(number), walk, micro_batches, watch) for number in numbers]
    return cast(Result, _joined(results))


def tiles_of(batch: ImageBatch) -> int:
    """How many tiles each photograph has: one where it is seen whole."""
    return 1 if batch.tiles is None else len(_Walk.over(batch, batch.tiles).tiles)


def seen_once(batch: ImageBatch) -> Iterator[ImageBatch]:
    """A batch in tiles, such that each pixel is valid in one of them; as it is where it has none."""
    if batch.tiles is None:
        yield batch
        return
    walk = _Walk.over(batch, batch.tiles)
    for number in torch.arange(len(batch.path)).split(1):
        photograph = walk.padded(batch.rows(number)._replace(tiles=None))
        for tiles in _chunks(walk.tiles, _AT_ONCE):
            yield walk.cut(photograph, tiles, once=True)


def _of_one(
    act: Callable[[ImageBatch], Result],
    photograph: ImageBatch,
    walk: _Walk,
    micro_batches: MicroBatcher,
    watch: Watch | None,
) -> Result:
    photograph = walk.padded(photograph)
    chunks = _chunks(walk.tiles, micro_batches.at_once(photograph.image.device))
    whole: Any = None
    for tiles in watch(iter(chunks), len(chunks)) if watch else chunks:
        found = micro_batches(act, walk.cut(photograph, tiles))
        whole = _canvas(found, walk) if whole is None else whole
        _put(whole, found, walk, tiles)
    whole = _trimmed(whole, walk)
    return cast(Result, replace(whole, nfe=whole.nfe * len(walk.tiles)) if isinstance(whole, Decoded) else whole)


def _chunks(tiles: Sequence[tuple[_Span, _Span]], count: int) -> list[Sequence[tuple[_Span, _Span]]]:
    return [tiles[start : start + count] for start in range(0, len(tiles), count)]


def _map(change: Callable[..., Any], first: Any, *others: Any) -> Any:
    """The same record with tensors changed, also those of records within it."""
    if isinstance(first, Tensor):
        return change(first, *others)
    if isinstance(first, tuple):
        return tuple(_map(change, *ones) for ones in zip(first, *others, strict=True))
    if isinstance(first, PerImage):
        names = vars(first)
        return type(first)(*(_map(change, *(getattr(one, name) for one in (first, *others))) for name in names))
    return first


def _canvas(found: Any, walk: _Walk) -> Any:
    """Room for the results of a whole photograph."""

    def room(tile: Tensor) -> Tensor:
        height, width = tile.shape[-2:]
        return tile.new_empty(1, *tile.shape[1:-2], walk.rows.cells(height), walk.columns.cells(width))

    return _map(room, found)


def _put(whole: Any, found: Any, walk: _Walk, tiles: Sequence[tuple[_Span, _Span]]) -> None:
    def put(canvas: Tensor, part: Tensor) -> Tensor:
        height, width = part.shape[-2:]
        for tile, (row, column) in zip(part, tiles, strict=True):
            (down, inner), (along, across) = walk.rows.kept(row, height), walk.columns.kept(column, width)
            canvas[0, ..., down, along] = tile[..., inner, across]
        return canvas

    _map(put, whole, found)


def _trimmed(whole: Any, walk: _Walk) -> Any:
    """Without what lies beyond the photograph, but for cells that it begins."""

    def trimmed(canvas: Tensor) -> Tensor:
        height, width = (
            math.ceil(axis.side * cells / axis.padded)
            for axis, cells in zip((walk.rows, walk.columns), canvas.shape[-2:], strict=True)
        )
        return canvas[..., :height, :width]

    return _map(trimmed, whole)


def _joined(results: Sequence[Any]) -> Any:
    return torch.cat(list(results)) if isinstance(results[0], Tensor) else type(results[0]).cat(results)
