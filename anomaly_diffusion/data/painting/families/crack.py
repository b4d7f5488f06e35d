"""Cracks: branching random walks, mostly dark."""

import cv2
import numpy as np
from numpy.random import Generator

from anomaly_diffusion.data.painting.families.family import (
    FINE,
    Drawing,
    Family,
    Form,
    Outline,
    Sketch,
    grain,
    profile,
    tint,
)

__all__ = ["Crack"]

_STEP = 1.5  # pixels of the sketch
_TURN = 0.35  # radians by which the walk turns at each step, in standard deviations
_HOME = 0.1  # share by which each step turns back to the direction of the whole
_BRANCHES = 0.03  # share of steps at which a branch begins


class Crack(Family):
    """A line that turns at random, changes its width and branches."""

    kind = "crack"
    share = 1.5
    elongated = True

    def draw(self, sketch: Sketch, form: Form, generator: Generator) -> Drawing:
        """Walk both ways from the centre."""
        outline = np.zeros((FINE * sketch.size[0], FINE * sketch.size[1]), np.uint8)
        heading, half = generator.uniform(0, 2 * np.pi), form.elongation * form.width / 2
        for way in (0, np.pi):
            self._walk(outline, form.centre, heading + way, half, form.width, generator)
        sign = -1 if generator.random() < 0.85 else 1
        rough = grain(generator, sketch, 0.7, form.width)
        own = (sketch.image - sketch.image.mean()) / max(float(sketch.image.std()), 1.0)
        material = sign * profile(outline, sketch, form.width) + generator.uniform(0.3, 1) * rough + 0.3 * own
        return Drawing(outline, material, sign, tint(generator, sketch.image.shape[2], 0.1))

    def _walk(
        self,
        outline: Outline,
        start: tuple[float, float],
        heading: float,
        length: float,
        width: float,
        generator: Generator,
    ) -> None:
        """Draw one arm from `start` (row, column), thinner towards its end, and its branches."""
        steps = max(2, round(length / _STEP))
        turns = generator.normal(0, _TURN, steps)
        wide = 0.75 + 0.25 * np.sin(np.cumsum(generator.normal(0, 0.4, steps)))
        point, angle = np.array(start, float), heading
        for number in range(steps):
            angle += turns[number] - _HOME * (angle - heading)
            end = point + _STEP * np.array([np.sin(angle), np.cos(angle)])
            rest = 1 - 0.7 * (number / steps) ** 2
            _segment(outline, point, end, width * rest * wide[number])
            if generator.random() < _BRANCHES and length > 6 * _STEP:
                side = angle + generator.choice((-1, 1)) * generator.uniform(0.5, 1.1)
                self._walk(
                    outline, (end[0], end[1]), side, 0.4 * (length - number * _STEP), 0.6 * width * rest, generator
                )
            point = end


def _segment(outline: Outline, start: np.ndarray, end: np.ndarray, width: float) -> None:
    """Draw a step."""
    first, last = ((FINE * 16 * (point[::-1] + 0.5)).round().astype(int).tolist() for point in (start, end))
    cv2.line(outline, first, last, 255, max(1, round(FINE * width)), cv2.LINE_AA, 4)
