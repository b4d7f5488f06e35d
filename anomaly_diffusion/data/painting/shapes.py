"""Where a painted defect is: lines and blobs in pixels of the sketch, rendered at the size of the photograph."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32

__all__ = ["Blob", "Canvas", "Line", "Place", "Point", "Shape", "scaled"]

Canvas = Float32[np.ndarray, "H W C"]
Weight = Float32[np.ndarray, "h w 1"]
Point = tuple[float, float]


class Place(NamedTuple):
    """The part of a photograph that a defect may change, and how much of it shows at each pixel, [0, 1]."""

    rows: slice
    columns: slice
    weight: Weight


class Shape(ABC):
    """Where a defect is, in pixels of the sketch; subclasses are its forms."""

    @abstractmethod
    def place(self, size: tuple[int, int], scale: float) -> Place:
        """Render the shape.

        Args:
            size: height and width of the photograph.
            scale: pixels of the photograph in one of the sketch, along a side.
        """


@dataclass(frozen=True)
class Line(Shape):
    """A line through `points` (x and y), as wide as OpenCV draws `width` pixels, which is up to two more."""

    points: Float[np.ndarray, "n 2"]
    width: int

    def place(self, size: tuple[int, int], scale: float) -> Place:
        """Draw the line; on a larger photograph by the distance of its pixels, for OpenCV's steps are of two pixels."""
        points = scaled(self.points, scale)
        width = self.width if scale == 1 else scale * _drawn_width(self.width)
        low, high = points.min(axis=0) - width - 2, points.max(axis=0) + width + 2
        rows, columns = within(low[1], high[1], size[0]), within(low[0], high[0], size[1])
        drawn = _polyline(points, self.width, size) if scale == 1 else _ribbon(points, width, size)
        return Place(rows, columns, drawn[rows, columns, None])


@dataclass(frozen=True)
class Blob(Shape):
    """A wobbly ellipse: 1 inside, falling to 0 over the outer `softness` of its radius.

    Attributes:
        centre: row and column.
        radius: the longer one.
        aspect: the shorter radius over the longer one.
        turn: angle of the longer radius.
        wobble: how often it waves round the outline, how far, relative to the radius, and from which angle.
        softness: (0, 1].
    """

    centre: Point
    radius: float
    aspect: float
    turn: float
    wobble: tuple[tuple[int, float, float], ...]
    softness: float

    def place(self, size: tuple[int, int], scale: float) -> Place:
        """Weigh the pixels."""
        (row, column), radius = (scaled(part, scale) for part in self.centre), self.radius * scale
        reach = radius * (1 + sum(depth for _, depth, _ in self.wobble)) + 1
        rows, columns = within(row - reach, row + reach, size[0]), within(column - reach, column + reach, size[1])
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(row)
        x = np.arange(columns.start, columns.stop, dtype=np.float32) - np.float32(column)
        cosine, sine = float(np.cos(self.turn)), float(np.sin(self.turn))
        u, v = x * cosine + y * sine, (y * cosine - x * sine) / self.aspect
        angle = np.arctan2(v, u)
        outline = 1 + sum(depth * np.cos(waves * angle + start) for waves, depth, start in self.wobble)
        weight = ((1 - np.hypot(u, v) / (radius * outline)) / self.softness).clip(0, 1)
        return Place(rows, columns, np.asarray(weight, np.float32)[..., None])


def scaled(position: Any, scale: float) -> Any:
    """Return where the middle of a pixel lies after scaling; the middle of the first is 0."""
    return position * scale + (scale - 1) / 2


def within(low: float, high: float, length: int) -> slice:
    """Return the pixels between two positions."""
    start = min(max(0, int(np.floor(low))), length)
    return slice(start, min(max(start, int(np.ceil(high)) + 1), length))


def _polyline(points: Float[np.ndarray, "n 2"], width: int, size: tuple[int, int]) -> Float32[np.ndarray, "H W"]:
    """Draw a line through points with OpenCV."""
    canvas = np.zeros(size, np.uint8)
    cv2.polylines(canvas, [(points * 16).round().astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)
    return canvas / np.float32(255)


def _ribbon(points: Float[np.ndarray, "n 2"], width: float, size: tuple[int, int]) -> Float32[np.ndarray, "H W"]:
    """Draw a line of exactly that width through points."""
    canvas = np.zeros(size, np.float32)  # takes memory only where it is written to
    for start, end in pairwise(points):
        low, high = np.minimum(start, end) - width, np.maximum(start, end) + width
        rows, columns = within(low[1], high[1], size[0]), within(low[0], high[0], size[1])
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - start[1]
        x = np.arange(columns.start, columns.stop, dtype=np.float32) - start[0]
        along_x, along_y = end - start
        share = ((x * along_x + y * along_y) / max(along_x**2 + along_y**2, 1e-9)).clip(0, 1)
        distance = np.hypot(x - share * along_x, y - share * along_y)
        canvas[rows, columns] = np.maximum(canvas[rows, columns], (width / 2 + 0.5 - distance).clip(0, 1))
    return canvas


def _drawn_width(width: int) -> float:
    """Return how many pixels wide OpenCV draws a line of that width."""
    across = 2 * width + 9
    points = np.array([[0.0, across // 2], [8.0, across // 2]])
    return float(_polyline(points, width, (across, 9))[:, 4].sum())
