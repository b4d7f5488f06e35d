"""Pits and inclusions: compact, rough-edged spots with a grain of their own; half of them lit from one side."""

import cv2
import numpy as np
from numpy.random import Generator

from anomaly_diffusion.data.painting.families.family import FINE, Drawing, Family, Form, Outline, Sketch, grain, tint

__all__ = ["Pit", "blob"]


class Pit(Family):
    """A spot with a rough outline; half of them are lit from one side, as a dent is."""

    kind = "pit"
    share = 1.5

    def draw(self, sketch: Sketch, form: Form, generator: Generator) -> Drawing:
        """Draw the outline, and a material that is brighter towards the light."""
        outline = blob(sketch, form, generator, rough=0.25)
        material = grain(generator, sketch, 0.5, form.width / 3)
        if generator.random() < 0.5:
            light = generator.uniform(0, 2 * np.pi)
            row, column = np.indices(sketch.size, np.float32)
            slope = (column - form.centre[1]) * np.cos(light) + (row - form.centre[0]) * np.sin(light)
            material = 0.5 * material + (slope / max(form.width / 2, 0.5))[..., None].clip(-2, 2).astype(np.float32)
        sign = -1 if generator.random() < 0.7 else 1
        return Drawing(outline, material, sign, tint(generator, sketch.image.shape[2], 0.15))


def blob(sketch: Sketch, form: Form, generator: Generator, rough: float) -> Outline:
    """Draw a closed outline that waves at random, by up to about the share `rough` of its radius."""
    outline = np.zeros((FINE * sketch.size[0], FINE * sketch.size[1]), np.uint8)
    angle, turn = np.linspace(0, 2 * np.pi, 96, endpoint=False), generator.uniform(0, np.pi)
    waves = np.arange(2, 9)
    depth, start = generator.normal(0, rough / waves, len(waves)), generator.uniform(0, 2 * np.pi, len(waves))
    radius = (1 + (depth[:, None] * np.cos(waves[:, None] * angle + start[:, None])).sum(0)).clip(0.3)
    u, v = radius * np.cos(angle) * max(1.0, form.elongation), radius * np.sin(angle)
    x, y = u * np.cos(turn) - v * np.sin(turn), u * np.sin(turn) + v * np.cos(turn)
    corners = form.width / 2 * np.stack([x, y], axis=1) + np.array(form.centre[::-1]) + 0.5
    cv2.fillPoly(outline, [(FINE * 16 * corners).round().astype(np.int32)], 255, cv2.LINE_AA, 4)
    return outline
