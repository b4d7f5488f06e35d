"""Judging on tiles by an exported file: its graph sees some tiles at a time, then what was made of them as one."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from anomaly_diffusion.runtime.engine import Answer, Engine
from anomaly_diffusion.tiling import Tile, Tiling, Walk, Watch, chunks

__all__ = ["over_tiles"]


def over_tiles(
    engine: Engine,
    image: UInt8[np.ndarray, "H W C"],
    valid: Bool[np.ndarray, "H W"],
    tiles: Tiling,
    at_once: int,
    watch: Watch,
) -> Answer:
    """Judge one photograph in its frame, whose sides are multiples of `tiling.GRID`.

    Args:
        engine: of a file with tiles.
        image: the photograph.
        valid: pixels that belong to it.
        tiles: how it is walked over.
        at_once: tiles that are looked at together.
        watch: is told how far it is.
    """
    walk, whole = Walk.over(image.shape[:2], tiles), list[np.ndarray]()
    steps = chunks(walk.tiles, at_once)
    for some in watch(iter(steps), len(steps)):
        found = _looked_at(engine, image, walk, some)
        whole = whole or [np.empty((1, *one.shape[1:-2], *walk.size(one.shape[-2:])), one.dtype) for one in found]
        for canvas, part in zip(whole, found, strict=True):
            walk.put(canvas, part, some)
    return engine(image[None], valid[None], whole)


def _looked_at(engine: Engine, image: np.ndarray, walk: Walk, tiles: Sequence[Tile]) -> list[np.ndarray]:
    shown = np.stack([image[walk.box(tile)] for tile in tiles])
    return engine.of_tiles(shown, np.array([walk.place(tile) for tile in tiles], np.float32))
