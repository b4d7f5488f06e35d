"""Paints defects on good photographs, with exact masks: validation on every data set, and the built-in test images.

Sizes are relative to the shorter side, brightness to the range of 8 bit. Lengths are drawn log-uniformly, so that there
are as many defects between 2 and 4 % of the side as between 8 and 16 %. At `severity` 1 a defect is visible to a person
who looks for it, not blatant; strengths fall in proportion to `severity`. No detector was asked.

What to paint is decided on a sketch of the photograph, of `SKETCH` pixels at most, and then rendered at the size of the
photograph, where it is and nowhere else: so a photograph gets the same defect whatever its size (from `SKETCH` pixels
on; below, a scratch is at least a pixel wide), and a large one costs little more than a small one.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32
from numpy.random import Generator

from anomaly_diffusion.data.reading.photographs import Mask, Pixels

__all__ = [
    "DEFECTS",
    "SKETCH",
    "VISIBLE",
    "ColourShift",
    "Defect",
    "Missing",
    "Painted",
    "Painter",
    "Paste",
    "Scratch",
    "Stain",
]

VISIBLE = 8  # levels of 255: a smaller change is undone, a larger one belongs to the mask
SKETCH = 256  # shorter side of the copy on which a defect is decided
_PLACES = 64  # shorter side of the grid of places that a defect is drawn from
_AREA = (0.0008, 0.25)  # share of the photograph that a defect covers
_SPECK = 0.0003  # share of the photograph below which a separate piece of a defect is undone
_ATTEMPTS = 100

Canvas = Float32[np.ndarray, "H W C"]
Weight = Float32[np.ndarray, "h w 1"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Painted:
    """A photograph with a painted defect: outside `mask` it is untouched."""

    image: Pixels
    mask: Mask
    kind: str


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
        points = _scaled(self.points, scale)
        width = self.width if scale == 1 else scale * _drawn_width(self.width)
        low, high = points.min(axis=0) - width - 2, points.max(axis=0) + width + 2
        rows, columns = _within(low[1], high[1], size[0]), _within(low[0], high[0], size[1])
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
        (row, column), radius = (_scaled(part, scale) for part in self.centre), self.radius * scale
        reach = radius * (1 + sum(depth for _, depth, _ in self.wobble)) + 1
        rows, columns = _within(row - reach, row + reach, size[0]), _within(column - reach, column + reach, size[1])
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(row)
        x = np.arange(columns.start, columns.stop, dtype=np.float32) - np.float32(column)
        cosine, sine = float(np.cos(self.turn)), float(np.sin(self.turn))
        u, v = x * cosine + y * sine, (y * cosine - x * sine) / self.aspect
        angle = np.arctan2(v, u)
        outline = 1 + sum(depth * np.cos(waves * angle + start) for waves, depth, start in self.wobble)
        weight = ((1 - np.hypot(u, v) / (radius * outline)) / self.softness).clip(0, 1)
        return Place(rows, columns, np.asarray(weight, np.float32)[..., None])


class Filling(ABC):
    """What shows through a shape; subclasses are its materials."""

    @abstractmethod
    def fill(self, image: Pixels, place: Place, sketch: Canvas) -> Float[np.ndarray, "h w C"]:
        """Return the changed part of the photograph; values may leave [0, 255]."""


@dataclass(frozen=True)
class Tint(Filling):
    """A constant that is added to every channel."""

    amount: Float[np.ndarray, " C"]

    def fill(self, image: Pixels, place: Place, sketch: Canvas) -> Float[np.ndarray, "h w C"]:
        """Add it."""
        return np.asarray(image[place.rows, place.columns] + place.weight * self.amount.astype(np.float32))


@dataclass(frozen=True)
class Mixture(Filling):
    """Something else that the photograph is mixed with, up to a share of `opacity`."""

    opacity: float

    def fill(self, image: Pixels, place: Place, sketch: Canvas) -> Float[np.ndarray, "h w C"]:
        """Mix."""
        part = image[place.rows, place.columns].astype(np.float32)
        return part + place.weight * self.opacity * (self.other(image, place, sketch) - part)

    @abstractmethod
    def other(self, image: Pixels, place: Place, sketch: Canvas) -> np.ndarray:
        """What it is mixed with, of the shape of the part or one that is spread over it."""


@dataclass(frozen=True)
class Colour(Mixture):
    """One colour."""

    colour: Float[np.ndarray, " C"]

    def other(self, image: Pixels, place: Place, sketch: Canvas) -> np.ndarray:
        """That colour."""
        return self.colour.astype(np.float32)


@dataclass(frozen=True)
class Elsewhere(Mixture):
    """The photograph itself, turned by 180 degrees or mirrored, and shifted round by rows and columns of the sketch."""

    turned: bool
    shift: tuple[int, int]

    def other(self, image: Pixels, place: Place, sketch: Canvas) -> np.ndarray:
        """What lies elsewhere."""
        sides = zip(image.shape[:2], sketch.shape[:2], self.shift, (place.rows, place.columns), strict=True)
        row, column = (
            (np.arange(part.start, part.stop) - round(shift * side / drawn)) % side
            for side, drawn, shift, part in sides
        )
        row = image.shape[0] - 1 - row if self.turned else row
        return image[np.ix_(row, image.shape[1] - 1 - column)].astype(np.float32)


@dataclass(frozen=True)
class Blurred(Mixture):
    """A blurred copy of the photograph, `sigma` in pixels of the sketch: so smooth that the sketch's is as good."""

    sigma: float

    def other(self, image: Pixels, place: Place, sketch: Canvas) -> np.ndarray:
        """What is left of the part."""
        blurred = cv2.GaussianBlur(sketch, (0, 0), self.sigma).reshape(sketch.shape)
        if sketch.shape == image.shape:
            return np.asarray(blurred[place.rows, place.columns])
        scales = (drawn / side for drawn, side in zip(sketch.shape, image.shape[:2], strict=False))
        row, column = (
            _scaled(np.arange(part.start, part.stop), scale).astype(np.float32)
            for scale, part in zip(scales, (place.rows, place.columns), strict=True)
        )
        shape = len(row), len(column)
        x, y = (np.ascontiguousarray(np.broadcast_to(at, shape)) for at in (column, row[:, None]))
        grown = cv2.remap(blurred, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(grown).reshape(*shape, -1)


class Defect(ABC):
    """Draws a defect around a point; subclasses are the kinds."""

    kind = "defect"

    @abstractmethod
    def draw(self, sketch: Canvas, centre: Point, generator: Generator, severity: float) -> tuple[Shape, Filling]:
        """Return where the defect is, and what shows there.

        Args:
            sketch: the good photograph, of `SKETCH` pixels at most.
            centre: row and column of the defect.
            generator: draws shape and strength.
            severity: (0, 1].
        """


class Scratch(Defect):
    """A thin, slightly bent, bright or dark line, 5 to 45 % of the side long."""

    kind = "scratch"

    def draw(self, sketch: Canvas, centre: Point, generator: Generator, severity: float) -> tuple[Shape, Filling]:
        """Draw a quadratic Bezier curve through `centre`."""
        side = min(sketch.shape[:2])
        angle, half = generator.uniform(0, np.pi), side * _log_uniform(generator, 0.025, 0.225)
        along = half * np.array([np.cos(angle), np.sin(angle)])
        bend = generator.uniform(-0.3, 0.3) * along[::-1] * [1, -1]
        s = np.linspace(-1, 1, 24)[:, None]
        thickness = side * generator.uniform(0.006, 0.016)
        line = Line(np.array(centre[::-1]) + s * along + (1 - s**2) * bend, max(1, round(thickness)))
        change = _sign(sketch, line, generator) * generator.uniform(40, 75) * severity
        return line, Tint(np.array([change]))


class Stain(Defect):
    """A soft blob that darkens what lies below it or bleaches it, 2 to 14 % of the side in radius."""

    kind = "stain"

    def draw(self, sketch: Canvas, centre: Point, generator: Generator, severity: float) -> tuple[Shape, Filling]:
        """Mix the photograph with a dark or a light colour."""
        blob = _blob(sketch, centre, generator, (0.02, 0.14), softness=0.5)
        colour = 128 + 110 * _sign(sketch, blob, generator) + generator.uniform(-15, 15, sketch.shape[2])
        return blob, Colour(generator.uniform(0.2, 0.4) * severity, np.asarray(colour))


class Paste(Defect):
    """A piece of the same photograph, turned, in the wrong place, 2 to 16 % of the side in radius."""

    kind = "paste"

    def draw(self, sketch: Canvas, centre: Point, generator: Generator, severity: float) -> tuple[Shape, Filling]:
        """Shift a turned copy of the photograph so that another part of it shows through a blob."""
        blob = _blob(sketch, centre, generator, (0.02, 0.16), softness=0.1)
        turned = generator.random() < 0.5
        shift = int(generator.integers(sketch.shape[0])), int(generator.integers(sketch.shape[1]))
        return blob, Elsewhere(severity, turned, shift)


class Missing(Defect):
    """A patch whose texture is wiped away, 2 to 16 % of the side in radius."""

    kind = "missing"

    def draw(self, sketch: Canvas, centre: Point, generator: Generator, severity: float) -> tuple[Shape, Filling]:
        """Mix the photograph with a blurred copy of itself."""
        blob = _blob(sketch, centre, generator, (0.02, 0.16), softness=0.2)
        return blob, Blurred(severity, min(sketch.shape[:2]) * generator.uniform(0.06, 0.12))


class ColourShift(Defect):
    """A patch of another colour, or of another brightness where the photograph is grey, 2 to 20 % in radius."""

    kind = "colour"

    def draw(self, sketch: Canvas, centre: Point, generator: Generator, severity: float) -> tuple[Shape, Filling]:
        """Add a constant to every channel."""
        blob = _blob(sketch, centre, generator, (0.02, 0.2), softness=0.2)
        change = _sign(sketch, blob, generator) * generator.uniform(18, 36) * severity
        tint = generator.uniform(0.3, 1, sketch.shape[2]) if sketch.shape[2] > 1 else np.ones(1)
        return blob, Tint(np.asarray(change * tint))


DEFECTS: tuple[Defect, ...] = (Scratch(), Stain(), Paste(), Missing(), ColourShift())


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
            centre = _scaled(row, scale), _scaled(column, scale)
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
        rows, columns = _within(low[1], high[1], size[0]), _within(low[0], high[0], size[1])
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


def _blob(sketch: Canvas, centre: Point, generator: Generator, radius: tuple[float, float], softness: float) -> Blob:
    """Draw a blob whose radius lies between two shares of the shorter side."""
    length = max(2.0, min(sketch.shape[:2]) * _log_uniform(generator, *radius))
    aspect, turn = generator.uniform(0.6, 1.0), generator.uniform(0, np.pi)
    wobble = tuple((waves, generator.uniform(0, 0.2 / waves), generator.uniform(0, 6.3)) for waves in (2, 3, 5))
    return Blob(centre, length, aspect, turn, wobble, softness)


def _log_uniform(generator: Generator, low: float, high: float) -> float:
    return float(low * (high / low) ** generator.random())


def _scaled(position: Any, scale: float) -> Any:
    """Return where the middle of a pixel lies after scaling; the middle of the first is 0."""
    return position * scale + (scale - 1) / 2


def _within(low: float, high: float, length: int) -> slice:
    """Return the pixels between two positions."""
    start = min(max(0, int(np.floor(low))), length)
    return slice(start, min(max(start, int(np.ceil(high)) + 1), length))


def _sign(sketch: Canvas, shape: Shape, generator: Generator) -> int:
    """Draw brighter or darker, but leave room for the change."""
    rows, columns, weight = shape.place(sketch.shape[:2], 1.0)
    covered = sketch[rows, columns][weight[..., 0] > 0]
    level = float(covered.mean()) if covered.size else float(sketch.mean())
    return 1 if level < 60 else -1 if level > 195 else int(generator.choice((-1, 1)))
