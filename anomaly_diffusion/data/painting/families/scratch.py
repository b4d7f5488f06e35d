"""Scratches: long, slightly bent lines, bright or dark, that fade and taper towards their ends."""

import cv2
import numpy as np
from numpy.random import Generator

from anomaly_diffusion.data.painting.families.family import FINE, Drawing, Family, Form, Sketch, grain, profile, tint

__all__ = ["Scratch"]


class Scratch(Family):
    """A quadratic Bezier curve."""

    kind = "scratch"
    elongated = True

    def draw(self, sketch: Sketch, form: Form, generator: Generator) -> Drawing:
        """Draw one stroke as a polygon."""
        outline = np.zeros((FINE * sketch.size[0], FINE * sketch.size[1]), np.uint8)
        angle, half = generator.uniform(0, np.pi), form.elongation * form.width / 2
        along = half * np.array([np.cos(angle), np.sin(angle)])
        bend = generator.uniform(-0.25, 0.25) * along[::-1] * [1, -1]
        s = np.linspace(-1, 1, 33)[:, None]
        middle = np.array(form.centre[::-1]) + s * along + (1 - s**2) * bend
        across = np.gradient(middle, axis=0)[:, ::-1] * [1, -1]
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
        uneven = 0.85 + 0.15 * np.sin(np.cumsum(generator.normal(0, 0.5, (33, 1)), axis=0))
        taper = (1 - np.abs(s) ** generator.uniform(2, 8)).clip(0.15, 1)
        reach = across * form.width / 2 * taper * uneven
        corners = np.concatenate([middle + reach, (middle - reach)[::-1]])
        cv2.fillPoly(outline, [(FINE * 16 * (corners + 0.5)).round().astype(np.int32)], 255, cv2.LINE_AA, 4)
        sign = int(generator.choice((-1, 1)))
        rough = generator.uniform(0.3, 1) * grain(generator, sketch, 0.7, form.width)
        material = sign * profile(outline, sketch, form.width) + rough
        return Drawing(outline, material, sign, tint(generator, sketch.image.shape[2], 0.1))
