"""Connected defect regions of a mask, resized so that none is lost or split, and counts of those that merge."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32

from anomaly_diffusion.data.reading.photographs import Mask

__all__ = ["FramedMask", "Regions", "frame_mask"]

_NOTHING = 1e-6  # overlap, in cells, that is but rounding

Labels = Int32[np.ndarray, "H W"]
Window = tuple[slice, slice]


class Regions(NamedTuple):
    """How many regions masks have, and what becomes of them in frames.

    A region is what touches by an edge or a corner, as AUPRO counts. The last four sum to the first.

    Attributes:
        files: regions of the masks.
        whole: those that are a region of the frame, too.
        merged: those that touch another one there.
        split: those of which the frame shows several pieces, as a crop may.
        lost: those of which the frame shows nothing.
    """

    files: int = 0
    whole: int = 0
    merged: int = 0
    split: int = 0
    lost: int = 0

    def __add__(self, other: tuple[int, ...]) -> "Regions":  # type: ignore[override]
        return Regions(*(mine + more for mine, more in zip(self, other, strict=True)))


class FramedMask(NamedTuple):
    """A mask in its frame, and what became of its regions."""

    mask: Mask
    regions: Regions


def frame_mask(mask: Mask, source: Window, size: tuple[int, int]) -> FramedMask:
    """Shrink or grow a part of a mask so that each of its regions stays one region.

    A pixel of the frame is defective if its middle lies in a region. A region that holds no middle, or whose pixels do
    not touch each other in the frame, gets the fewest of its most filled pixels that make it one.

    Args:
        mask: defects of a photograph.
        source: the part of the photograph that is shown.
        size: height and width at which it is shown.
    """
    if not mask.any():
        return FramedMask(np.zeros(size, bool), Regions())
    count, owner = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    shrinking = _Shrinking.of(owner[source], size)
    framed, shown = np.zeros(size, bool), []
    for piece in range(1, len(shrinking.boxes)):
        window, pixels = shrinking.seen(piece)
        framed[window] |= pixels
        shown.append((shrinking.owner(piece), window, pixels))
    _, region = cv2.connectedComponents(framed.view(np.uint8), connectivity=8)
    pairs = {(which, int(region[window][pixels][0])) for which, window, pixels in shown}
    return FramedMask(framed, _fates(pairs, count - 1))


@dataclass(frozen=True)
class _Shrinking:
    """The pieces of regions in a part of a photograph, and the pixels of a smaller (or larger) copy that show them.

    Attributes:
        owners: which region of the photograph a pixel belongs to; 0 for none.
        pieces: which piece it belongs to: what of a region is left in the part may have come apart.
        boxes: left, top, width and height of each piece; the first is that of what belongs to none.
        sampled: the piece in the middle of each pixel of the copy.
    """

    owners: Labels
    pieces: Labels
    boxes: Int32[np.ndarray, "n 4"]
    sampled: Labels

    @classmethod
    def of(cls, owners: Labels, size: tuple[int, int]) -> "_Shrinking":
        found = np.asarray(owners > 0, np.uint8)
        _, pieces, boxes, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
        sampled = cv2.resize(pieces, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return cls(owners, pieces, boxes[:, :4], sampled)

    def owner(self, piece: int) -> int:
        """The region of the photograph that a piece belongs to."""
        rows, columns = self._box(piece)
        inside = self.pieces[rows, columns] == piece
        return int(self.owners[rows, columns][inside][0])

    def seen(self, piece: int) -> tuple[Window, Mask]:
        """A window of the copy, and the pixels in it that show a piece."""
        pixels = self._box(piece)
        ratios = [whole / shown for whole, shown in zip(self.pieces.shape, self.sampled.shape, strict=True)]
        rows, columns = (_cells(part, ratio) for part, ratio in zip(pixels, ratios, strict=True))
        held = self.sampled[rows, columns] == piece
        if _parts(held)[0] == 1:
            return (rows, columns), held
        down, across = (
            _overlap(part, cells, ratio) for part, cells, ratio in zip(pixels, (rows, columns), ratios, strict=True)
        )
        share = down @ np.asarray(self.pieces[pixels] == piece, np.float32) @ across.T
        if not held.any():
            held = _most_filled(share)
        return (rows, columns), _joined(held, share)

    def _box(self, piece: int) -> Window:
        left, top, width, height = self.boxes[piece].tolist()
        return slice(top, top + height), slice(left, left + width)


def _fates(pairs: set[tuple[int, int]], files: int) -> Regions:
    """Count what became of regions from who is seen in which region of the frame."""
    which, where = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
    pieces = np.bincount(which, minlength=files + 1)[1:]
    shared = np.bincount(where)[where] > 1 if len(where) else np.zeros(0, bool)
    together = np.isin(np.arange(1, files + 1), which[shared])
    lost, merged, split = pieces == 0, together, (pieces > 1) & ~together
    fates = [int(fate.sum()) for fate in (merged, split, lost)]
    return Regions(files, files - sum(fates), *fates)


def _cells(pixels: slice, ratio: float) -> slice:
    """The pixels of the copy that show some of the photograph, of which `ratio` make up one of them."""
    return slice(int(np.floor(pixels.start / ratio + _NOTHING)), int(np.ceil(pixels.stop / ratio - _NOTHING)))


def _overlap(pixels: slice, cells: slice, ratio: float) -> Float32[np.ndarray, "cells pixels"]:
    """Which share of each cell each pixel fills, along one side."""
    edge = np.arange(cells.start, cells.stop + 1)[:, None] * ratio
    pixel = np.arange(pixels.start, pixels.stop)
    share = (np.minimum(edge[1:], pixel + 1) - np.maximum(edge[:-1], pixel)) / ratio
    return np.where(share > _NOTHING, share, 0).astype(np.float32)


def _most_filled(share: Float32[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """As many pixels as the region is large, at least one: those of which it fills most."""
    chosen = np.zeros(share.shape, bool)
    chosen.flat[np.argsort(-share, axis=None, kind="stable")[: max(1, round(float(share.sum())))]] = True
    return chosen


def _joined(held: Bool[np.ndarray, "h w"], share: Float32[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The pixels and what joins them, by taking in more until they touch, the most filled first."""
    levels = np.unique(share[(share > 0) & ~held])[::-1]

    def part_at(level: float) -> Bool[np.ndarray, "h w"] | None:
        _, part = _parts(held | (share >= level))
        numbers = np.unique(part[held])
        return part == numbers[0] if len(numbers) == 1 else None

    if _parts(held)[0] == 1 or not len(levels):
        return held
    place = bisect_left(levels, True, key=lambda level: part_at(level) is not None)
    joined = part_at(levels[min(place, len(levels) - 1)])
    return held if joined is None else joined


def _parts(mask: Bool[np.ndarray, "h w"]) -> tuple[int, Int32[np.ndarray, "h w"]]:
    """How many 8-connected parts a mask has, and which pixels belong to which."""
    count, part = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return count - 1, part
