"""The defects of the built-in textures' test images: scratch, stain, paste, missing texture, colour shift.

They stay as they are, bit by bit, so that figures of the built-in textures can be compared between versions. They are
fainter, wider and smoother than defects of public sets are; validation paints the families of `painter.py` instead.

Sizes are relative to the shorter side, brightness to the range of 8 bit. Lengths are drawn log-uniformly. At `severity`
1 a defect is visible to a person who looks for it, not blatant; strengths fall in proportion to `severity`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32
from numpy.random import Generator

from anomaly_diffusion.data.painting.visible import visible
from anomaly_diffusion.data.reading.photographs import Mask, Pixels

__all__ = ["BUILT_IN_DEFECTS", "BuiltInPainter", "Defect"]

Canvas = Float32[np.ndarray, "H W C"]
Weight = Float32[np.ndarray, "h w 1"]
Point = tuple[float, float]
_GRID = 64  # shorter side of the grid of places that a defect is drawn from
_AREA = (0.0008, 0.25)  # share of the crop that a defect covers
_SPECK = 0.0003  # share of the crop below which a separate piece of a defect is undone
_ATTEMPTS = 100


class Place(NamedTuple):
    """The part of a photograph that a defect may change, and how much of it shows at each pixel, [0, 1]."""

    rows: slice
    columns: slice
    weight: Weight


class Shape(ABC):
    """Where a defect is, in pixels; subclasses are its forms."""

    @abstractmethod
    def place(self, size: tuple[int, int]) -> Place:
        """Render the shape on a photograph of that height and width."""


@dataclass(frozen=True)
class Line(Shape):
    """A line through `points` (x and y), as wide as OpenCV draws `width` pixels, which is up to two more."""

    points: Float[np.ndarray, "n 2"]
    width: int

    def place(self, size: tuple[int, int]) -> Place:
        """Draw the line."""
        low, high = self.points.min(axis=0) - self.width - 2, self.points.max(axis=0) + self.width + 2
        rows, columns = _within(low[1], high[1], size[0]), _within(low[0], high[0], size[1])
        canvas = np.zeros(size, np.uint8)
        cv2.polylines(canvas, [(self.points * 16).round().astype(np.int32)], False, 255, self.width, cv2.LINE_AA, 4)
        return Place(rows, columns, (canvas / np.float32(255))[rows, columns, None])


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

    def place(self, size: tuple[int, int]) -> Place:
        """Weigh the pixels."""
        (row, column), radius = self.centre, self.radius
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
    def fill(self, image: Canvas, place: Place) -> Float[np.ndarray, "h w C"]:
        """Return the changed part of the photograph; values may leave [0, 255]."""


@dataclass(frozen=True)
class Tint(Filling):
    """A constant that is added to every channel."""

    amount: Float[np.ndarray, " C"]

    def fill(self, image: Canvas, place: Place) -> Float[np.ndarray, "h w C"]:
        """Add it."""
        return np.asarray(image[place.rows, place.columns] + place.weight * self.amount.astype(np.float32))


@dataclass(frozen=True)
class Mixture(Filling):
    """Something else that the photograph is mixed with, up to a share of `opacity`."""

    opacity: float

    def fill(self, image: Canvas, place: Place) -> Float[np.ndarray, "h w C"]:
        """Mix."""
        part = image[place.rows, place.columns]
        return np.asarray(part + place.weight * self.opacity * (self.other(image, place) - part))

    @abstractmethod
    def other(self, image: Canvas, place: Place) -> np.ndarray:
        """What it is mixed with, of the shape of the part or one that is spread over it."""


@dataclass(frozen=True)
class Colour(Mixture):
    """One colour."""

    colour: Float[np.ndarray, " C"]

    def other(self, image: Canvas, place: Place) -> np.ndarray:
        """That colour."""
        return self.colour.astype(np.float32)


@dataclass(frozen=True)
class Elsewhere(Mixture):
    """The photograph itself, turned by 180 degrees or mirrored, and shifted round by rows and columns."""

    turned: bool
    shift: tuple[int, int]

    def other(self, image: Canvas, place: Place) -> np.ndarray:
        """What lies elsewhere."""
        sides = zip(image.shape[:2], self.shift, (place.rows, place.columns), strict=True)
        row, column = ((np.arange(part.start, part.stop) - shift) % side for side, shift, part in sides)
        row = image.shape[0] - 1 - row if self.turned else row
        return image[np.ix_(row, image.shape[1] - 1 - column)]


@dataclass(frozen=True)
class Blurred(Mixture):
    """A blurred copy of the photograph, `sigma` in pixels."""

    sigma: float

    def other(self, image: Canvas, place: Place) -> np.ndarray:
        """What is left of the part."""
        return np.asarray(cv2.GaussianBlur(image, (0, 0), self.sigma).reshape(image.shape)[place.rows, place.columns])


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


BUILT_IN_DEFECTS: tuple[Defect, ...] = (Scratch(), Stain(), Paste(), Missing(), ColourShift())


class BuiltInPainter:
    """Paints one built-in defect on a crop of a built-in texture, where there is contrast.

    Args:
        severity: strength of the change, (0, 1].
        defects: the kinds to draw from.
    """

    def __init__(self, severity: float = 1.0, defects: Sequence[Defect] = BUILT_IN_DEFECTS) -> None:
        self.severity, self.defects = severity, defects

    def __call__(self, image: Pixels, generator: Generator) -> tuple[Pixels, Mask]:
        """Return the crop with a defect, and its mask; the same generator state paints the same.

        Raises:
            ValueError: if the crop is such that no defect can be seen on it.
        """
        canvas, grid = image.astype(np.float32), _shrunk(image)
        places, scale = _interest(grid), min(image.shape[:2]) / min(grid.shape[:2])
        for _ in range(_ATTEMPTS):
            defect = self.defects[int(generator.integers(len(self.defects)))]
            row, column = divmod(int(np.searchsorted(places, generator.random() * places[-1])), grid.shape[1])
            centre = (part * scale + (scale - 1) / 2 for part in (row, column))
            painted, mask = _painted(
                image, canvas, *defect.draw(canvas, (next(centre), next(centre)), generator, self.severity)
            )
            if _AREA[0] <= mask.mean() <= _AREA[1] and mask.sum() >= 4:
                return painted, mask
        raise ValueError(f"No visible defect fits on {image.shape[1]} x {image.shape[0]} pixels; raise `severity`.")


def _painted(image: Pixels, canvas: Canvas, shape: Shape, filling: Filling) -> tuple[Pixels, Mask]:
    """Render a defect."""
    size = image.shape[0], image.shape[1]
    place = shape.place(size)
    result, mask = image.copy(), np.zeros(size, bool)
    part = result[place.rows, place.columns]
    if part.size:
        changed = (filling.fill(canvas, place).clip(0, 255) + 0.5).astype(np.uint8)
        shown = mask[place.rows, place.columns] = visible(part, changed, size, _SPECK * size[0] * size[1])
        part[shown] = changed[shown]
    return result, mask


def _shrunk(image: Pixels) -> Pixels:
    """Average a crop down until its shorter side is `_GRID`; one that is smaller stays as it is."""
    shorter = min(image.shape[:2])
    if shorter <= _GRID:
        return image
    height, width = (round(length * _GRID / shorter) for length in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)).reshape(height, width, -1)


def _blob(sketch: Canvas, centre: Point, generator: Generator, radius: tuple[float, float], softness: float) -> Blob:
    """Draw a blob whose radius lies between two shares of the shorter side."""
    length = max(2.0, min(sketch.shape[:2]) * _log_uniform(generator, *radius))
    aspect, turn = generator.uniform(0.6, 1.0), generator.uniform(0, np.pi)
    wobble = tuple((waves, generator.uniform(0, 0.2 / waves), generator.uniform(0, 6.3)) for waves in (2, 3, 5))
    return Blob(centre, length, aspect, turn, wobble, softness)


def _log_uniform(generator: Generator, low: float, high: float) -> float:
    return float(low * (high / low) ** generator.random())


def _sign(sketch: Canvas, shape: Shape, generator: Generator) -> int:
    """Draw brighter or darker, but leave room for the change."""
    rows, columns, weight = shape.place(sketch.shape[:2])
    covered = sketch[rows, columns][weight[..., 0] > 0]
    level = float(covered.mean()) if covered.size else float(sketch.mean())
    return 1 if level < 60 else -1 if level > 195 else int(generator.choice((-1, 1)))


def _within(low: float, high: float, length: int) -> slice:
    """Return the pixels between two positions."""
    start = min(max(0, int(np.floor(low))), length)
    return slice(start, min(max(start, int(np.ceil(high)) + 1), length))


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
