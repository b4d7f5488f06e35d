"""Paints defects on good photographs, with exact masks: for validation on every data set, and the built-in test images.

What to paint is decided on a sketch of the photograph, of `SKETCH` pixels at most, and then rendered at the size of the
photograph, where it is and nowhere else: so a photograph gets the same defect whatever its size (from `SKETCH` pixels
on; below, a scratch is at least a pixel wide), and a large one costs little more than a small one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from anomaly_diffusion.data.painting.defects import DEFECTS, Defect
from anomaly_diffusion.data.painting.fillings import Filling
from anomaly_diffusion.data.painting.shapes import Canvas, Shape, scaled
from anomaly_diffusion.data.reading.photographs import Mask, Pixels

__all__ = ["SKETCH", "VISIBLE", "Painted", "Painter"]

VISIBLE = 8  # levels of 255: a smaller change is undone, a larger one belongs to the mask
SKETCH = 256  # shorter side of the copy on which a defect is decided
_PLACES = 64  # shorter side of the grid of places that a defect is drawn from
_AREA = (0.0008, 0.25)  # share of the photograph that a defect covers
_SPECK = 0.0003  # share of the photograph below which a separate piece of a defect is undone
_ATTEMPTS = 100


@dataclass(frozen=True)
class Painted:
    """A photograph with a painted defect: outside `mask` it is untouched."""

    image: Pixels
    mask: Mask
    kind: str


class Painter:
    """Paints one defect on a photograph, of a random kind, where there is something to see.

    The mask holds the pixels that change by `VISIBLE` levels or more, with gaps of a pixel or two closed as a person
    would who draws round a defect; loose specks and weaker changes are undone, so nothing outside the mask differs.

    Args:
        severity: strength of the change, (0, 1].
        defects: the kinds to draw from.
    """

    def __init__(self, severity: float = 1.0, defects: Sequence[Defect] = DEFECTS) -> None:
        if not 0 < severity <= 1:
            raise ValueError(f"`severity` must lie in (0, 1], got {severity}.")
        self.severity, self.defects = severity, defects

    def __call__(self, image: Pixels, generator: Generator) -> Painted:
        """Paint a defect; the same generator state paints the same.

        Raises:
            ValueError: if the photograph is such that no defect can be seen on it.
        """
        sketch = _shrunk(image, SKETCH)
        canvas, grid = sketch.astype(np.float32), _shrunk(sketch, _PLACES)
        places, scale = _interest(grid), min(sketch.shape[:2]) / min(grid.shape[:2])
        for _ in range(_ATTEMPTS):
            defect = self.defects[int(generator.integers(len(self.defects)))]
            row, column = divmod(int(np.searchsorted(places, generator.random() * places[-1])), grid.shape[1])
            centre = scaled(row, scale), scaled(column, scale)
            drawn = defect.draw(canvas, centre, generator, self.severity)
            painted = _painted(sketch, canvas, defect.kind, *drawn)
            if _AREA[0] <= painted.mask.mean() <= _AREA[1] and painted.mask.sum() >= 4:
                painted = painted if sketch is image else _painted(image, canvas, defect.kind, *drawn)
                if painted.mask.any():  # what shows on the sketch may not in the grain of the photograph
                    return painted
        kinds = ", ".join(defect.kind for defect in self.defects)
        raise ValueError(
            f"No visible defect ({kinds}) fits on {image.shape[1]} x {image.shape[0]} pixels; raise `severity`."
        )


def _painted(image: Pixels, sketch: Canvas, kind: str, shape: Shape, filling: Filling) -> Painted:
    """Render a defect at the size of `image`."""
    size = image.shape[0], image.shape[1]
    place = shape.place(size, min(size) / min(sketch.shape[:2]))
    result, mask = image.copy(), np.zeros(size, bool)
    part = result[place.rows, place.columns]
    if part.size:
        changed = (filling.fill(image, place, sketch).clip(0, 255) + 0.5).astype(np.uint8)
        visible = mask[place.rows, place.columns] = _visible(part, changed, size)
        part[visible] = changed[visible]
    return Painted(result, mask, kind)


def _visible(part: Pixels, painted: Pixels, size: tuple[int, int]) -> Mask:
    """Return where a part of a photograph of that size differs visibly, gaps closed and specks left out."""
    changed = (cv2.absdiff(part, painted).reshape(part.shape).max(axis=2) >= VISIBLE).astype(np.uint8)
    width = 1 + 2 * max(1, round(min(size) / 128))
    border = width  # closing must not see the edge of the photograph as a defect
    padded = cv2.copyMakeBorder(changed, border, border, border, border, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((width, width), np.uint8))
    pieces, label, statistics, _ = cv2.connectedComponentsWithStats(closed[border:-border, border:-border])
    large = statistics[:, cv2.CC_STAT_AREA] >= max(3, _SPECK * size[0] * size[1])
    large[0] = False
    return large[label] if pieces > 1 else np.zeros(changed.shape, bool)


def _shrunk(image: Pixels, side: int) -> Pixels:
    """Average a photograph down until its shorter side is `side`; one that is smaller stays as it is."""
    shorter = min(image.shape[:2])
    if shorter <= side:
        return image
    height, width = (round(length * side / shorter) for length in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)).reshape(height, width, -1)


def _interest(image: Pixels) -> np.ndarray:
    """Return cumulated weights of pixels: local contrast, so that an object is hit rather than its background."""
    grey = image.mean(axis=2, dtype=np.float32)
    sigma = min(grey.shape) / 16
    mean = cv2.GaussianBlur(grey, (0, 0), sigma)
    deviation = np.sqrt(np.maximum(cv2.GaussianBlur(grey**2, (0, 0), sigma) - mean**2, 0))
    weight = np.zeros_like(grey)
    margin = min(grey.shape) // 10  # a defect is not cut in half by the border
    inner = slice(margin, grey.shape[0] - margin), slice(margin, grey.shape[1] - margin)
    weight[inner] = deviation[inner] + 0.1 * deviation.max() + 1e-3
    return np.asarray(np.cumsum(weight, dtype=np.float64))
