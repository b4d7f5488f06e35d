"""Judging on tiles: networks see one tile at a time, and everything after them sees the photograph.

A detector walks over a photograph where it asks networks, between the image and what a codec compares. What comes back
is put together on the grid of the photograph: residuals, statistics by position, memories, calibration, fusion, pooling
and pictures know nothing of tiles, and what holds for a frame holds for a photograph.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.detectors.micro_batching import MicroBatcher
from anomaly_diffusion.diffusion.noise import mix
from anomaly_diffusion.tiling import Tile, Walk, Watch, chunks
from anomaly_diffusion.types import Decoded, ImageBatch, PerImage

__all__ = ["Watch", "over_tiles", "seen_once", "tiles_of"]

Result = TypeVar("Result", bound=Tensor | PerImage)
_AT_ONCE = 8  # tiles that are looked at together where nothing is put together


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
    walk, whole = Walk.over(batch.image.shape[-2:], batch.tiles), batch._replace(tiles=None)
    if len(walk.tiles) == 1:
        return act(whole)
    if len(batch.path) == 1:  # large, hence not copied
        return _of_one(act, whole, walk, micro_batches, watch)
    numbers = torch.arange(len(batch.path)).split(1)
    results = [_of_one(act, whole.rows(number), walk, micro_batches, watch) for number in numbers]
    return cast(Result, _joined(results))


def tiles_of(batch: ImageBatch) -> int:
    """How many tiles each photograph has: one where it is seen whole."""
    return 1 if batch.tiles is None else len(Walk.over(batch.image.shape[-2:], batch.tiles).tiles)


def seen_once(batch: ImageBatch) -> Iterator[ImageBatch]:
    """A batch in tiles, such that each pixel is valid in one of them; as it is where it has none."""
    if batch.tiles is None:
        yield batch
        return
    walk = Walk.over(batch.image.shape[-2:], batch.tiles)
    for number in torch.arange(len(batch.path)).split(1):
        photograph = _padded(walk, batch.rows(number)._replace(tiles=None))
        for tiles in chunks(walk.tiles, _AT_ONCE):
            yield _cut(walk, photograph, tiles, once=True)


def _of_one(
    act: Callable[[ImageBatch], Result],
    photograph: ImageBatch,
    walk: Walk,
    micro_batches: MicroBatcher,
    watch: Watch | None,
) -> Result:
    photograph = _padded(walk, photograph)
    steps = chunks(walk.tiles, micro_batches.at_once(photograph.image.device))
    whole: Any = None
    for tiles in watch(iter(steps), len(steps)) if watch else steps:
        found = micro_batches(act, _cut(walk, photograph, tiles))
        whole = _canvas(found, walk) if whole is None else whole
        _put(whole, found, walk, tiles)
    whole = _map(walk.trimmed, whole)
    return cast(Result, replace(whole, nfe=whole.nfe * len(walk.tiles)) if isinstance(whole, Decoded) else whole)


def _padded(walk: Walk, batch: ImageBatch) -> ImageBatch:
    """A photograph that repeats its border as far as the last tiles reach; the rest is not valid."""
    below, beside = walk.rows.padded - walk.rows.side, walk.columns.padded - walk.columns.side
    if not below and not beside:
        return batch
    padding = (0, beside, 0, below)
    image = F.pad(batch.image, padding, mode="replicate")
    return batch._replace(image=image, mask=F.pad(batch.mask, padding), valid=F.pad(batch.valid, padding))


def _cut(walk: Walk, batch: ImageBatch, tiles: Sequence[Tile], once: bool = False) -> ImageBatch:
    """Tiles of one photograph as a batch; each knows its place, and has a key, hence noise, of its own.

    Args:
        walk: over the photograph.
        batch: the photograph, `_padded`.
        tiles: which.
        once: whether pixels are valid only where the tile's results are used: each pixel in one tile.
    """
    boxes = [walk.box(tile) for tile in tiles]
    image, mask, valid = (torch.cat([part[..., *box] for box in boxes]) for part in batch[:3])
    if once:
        valid &= torch.cat([_used(walk, tile).to(valid.device) for tile in tiles])
    count, key = len(tiles), int(batch.key[0])
    keys = [mix(key, row.start, column.start) for row, column in tiles]
    alike = (batch.label, batch.category, batch.size)
    label, category, size = (part.expand(count, *part.shape[1:]) for part in alike)
    return ImageBatch(
        *(image, mask, valid, label, category),
        torch.tensor(keys, device=batch.key.device),
        *(size, batch.path * count, batch.kind * count),
        image.new_tensor([walk.place(tile) for tile in tiles]),
        categories=batch.categories,
    )


def _used(walk: Walk, tile: Tile) -> Tensor:
    row, column = tile
    used = torch.zeros(1, 1, walk.rows.tile, walk.columns.tile, dtype=torch.bool)
    (_, inner), (_, across) = walk.rows.kept(row, walk.rows.tile), walk.columns.kept(column, walk.columns.tile)
    used[..., inner, across] = True
    return used


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


def _canvas(found: Any, walk: Walk) -> Any:
    """Room for the results of a whole photograph."""
    return _map(lambda tile: tile.new_empty(1, *tile.shape[1:-2], *walk.size(tile.shape[-2:])), found)


def _put(whole: Any, found: Any, walk: Walk, tiles: Sequence[Tile]) -> None:
    def put(canvas: Tensor, part: Tensor) -> Tensor:
        walk.put(canvas, part, tiles)
        return canvas

    _map(put, whole, found)


def _joined(results: Sequence[Any]) -> Any:
    return torch.cat(list(results)) if isinstance(results[0], Tensor) else type(results[0]).cat(results)
