"""Stains: soft-edged spots through which the photograph's own structure shows."""

import cv2
import numpy as np
from numpy.random import Generator

from anomaly_diffusion.data.painting.families.family import FINE, Drawing, Family, Form, Sketch, grain, tint
from anomaly_diffusion.data.painting.families.pit import blob

__all__ = ["Stain"]


class Stain(Family):
    """A spot of another brightness, on colour photographs also of another colour, with cloudy insides."""

    kind = "stain"

    def draw(self, sketch: Sketch, form: Form, generator: Generator) -> Drawing:
        """Blur the outline, and mix the photograph with clouds."""
        outline = blob(sketch, form, generator, rough=0.35)
        soft = FINE * form.width * generator.uniform(0.03, 0.12)
        outline = np.asarray(cv2.GaussianBlur(outline, (0, 0), max(soft, 0.5)))
        own = (sketch.image - sketch.image.mean()) / max(float(sketch.image.std()), 1.0)
        material = own + generator.uniform(0.2, 0.8) * grain(generator, sketch, 0.7, form.width / 3)
        sign = -1 if generator.random() < 0.6 else 1
        return Drawing(outline, material, sign, tint(generator, sketch.image.shape[2], 0.5))
