"""A defect that was found on a sketch, at the size of the photograph."""

import cv2
import numpy as np

from anomaly_diffusion.data.painting.attempts import SPECK, Attempt, Weight
from anomaly_diffusion.data.painting.families.family import FINE, Sketch
from anomaly_diffusion.data.painting.visible import visible
from anomaly_diffusion.data.reading.photographs import Mask, Pixels

__all__ = ["rendered"]

_BLOCK = 32  # pixels of the sketch: a large photograph is changed block by block, and not where nothing is painted


def rendered(image: Pixels, sketch: Sketch, attempt: Attempt) -> tuple[Pixels, Mask]:
    """Render a defect at the size of the photograph, block by block."""
    painted = image.copy()
    scale = image.shape[0] / sketch.size[0], image.shape[1] / sketch.size[1]
    fine = 1 if max(scale) < 2 else 2 if max(scale) < 4 else FINE
    size = fine * attempt.change.shape[1], fine * attempt.change.shape[0]
    outline = cv2.resize(attempt.outline, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    for row in range(0, attempt.change.shape[0], _BLOCK):
        for column in range(0, attempt.change.shape[1], _BLOCK):
            if outline[fine * row : fine * (row + _BLOCK), fine * column : fine * (column + _BLOCK)].any():
                _render(painted, (row, column), scale, outline, attempt)
    part = tuple(_at_size(side, step) for side, step in zip(attempt.box, scale, strict=True))
    mask = np.zeros(image.shape[:2], bool)
    speck = SPECK / 2 * scale[0] * scale[1]  # what shows on the sketch shows
    mask[part] = visible(image[part], painted[part], mask.shape, speck)
    np.copyto(painted[part], image[part], where=~mask[part][..., None])
    return painted, mask


def _render(
    painted: Pixels, start: tuple[int, int], scale: tuple[float, float], outline: Weight, attempt: Attempt
) -> None:
    """Change the photograph where the block of the box lies that begins at `start`."""
    ends = (min(begin + _BLOCK, side) for begin, side in zip(start, attempt.change.shape, strict=False))
    first = tuple(side.start for side in attempt.box)
    block = (slice(at + begin, at + end) for at, begin, end in zip(first, start, ends, strict=True))
    sides = tuple(_at_size(part, step) for part, step in zip(block, scale, strict=True))
    below = painted[sides]
    weight = _resampled(outline, attempt, sides, scale, cv2.INTER_LINEAR)
    changed = _resampled(attempt.change, attempt, sides, scale, cv2.INTER_CUBIC).reshape(below.shape)
    below[:] = (below + weight[..., None] * changed + 0.5).clip(0, 255).astype(np.uint8)


def _at_size(part: slice, step: float) -> slice:
    """Return the pixels of the photograph whose part of the sketch this is."""
    return slice(round(part.start * step), round(part.stop * step))


def _resampled(
    source: np.ndarray, attempt: Attempt, sides: tuple[slice, ...], scale: tuple[float, float], how: int
) -> np.ndarray:
    """Return what `source`, which covers the box of the attempt, is at some pixels of the photograph."""
    fine = source.shape[0] / attempt.change.shape[0]
    (down, row), (across, column) = (
        (fine / step, ((side.start + 0.5) / step - box.start) * fine - 0.5)
        for side, step, box in zip(sides, scale, attempt.box, strict=True)
    )
    matrix, how = np.array([[across, 0, column], [0, down, row]]), how | cv2.WARP_INVERSE_MAP
    size = sides[1].stop - sides[1].start, sides[0].stop - sides[0].start
    return np.asarray(cv2.warpAffine(source, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE))
