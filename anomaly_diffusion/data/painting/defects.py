"""The kinds of painted defects: scratch, stain, paste, missing texture, colour shift; each draws a shape and a filling.

Sizes are relative to the shorter side, brightness to the range of 8 bit. Lengths are drawn log-uniformly, so that there
are as many defects between 2 and 4 % of the side as between 8 and 16 %. At `severity` 1 a defect is visible to a person
who looks for it, not blatant; strengths fall in proportion to `severity`. No detector was asked.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.random import Generator

from anomaly_diffusion.data.painting.fillings import Blurred, Colour, Elsewhere, Filling, Tint
from anomaly_diffusion.data.painting.shapes import Blob, Canvas, Line, Point, Shape

__all__ = ["DEFECTS", "ColourShift", "Defect", "Missing", "Paste", "Scratch", "Stain"]


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
    rows, columns, weight = shape.place(sketch.shape[:2], 1.0)
    covered = sketch[rows, columns][weight[..., 0] > 0]
    level = float(covered.mean()) if covered.size else float(sketch.mean())
    return 1 if level < 60 else -1 if level > 195 else int(generator.choice((-1, 1)))
