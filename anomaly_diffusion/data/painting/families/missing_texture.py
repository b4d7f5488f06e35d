"""Missing texture: patches that are smoother than their surroundings, and of the same brightness."""

import cv2
import numpy as np
from numpy.random import Generator

from anomaly_diffusion.data.painting.families.family import Drawing, Family, Form, Sketch
from anomaly_diffusion.data.painting.families.pit import blob

__all__ = ["MissingTexture"]


class MissingTexture(Family):
    """A blurred patch: rare, as it is fainter and smoother than defects of public sets are.

    At most 5 % of what a painter of all families paints; neither contrast nor roughness is brought to its target.
    """

    kind = "missing_texture"
    share = 0.25

    def draw(self, sketch: Sketch, form: Form, generator: Generator) -> Drawing:
        """Blur the photograph."""
        outline = blob(sketch, form, generator, rough=0.2)
        sigma = max(1.0, form.width * generator.uniform(0.5, 1.0))
        material = np.asarray(cv2.GaussianBlur(sketch.image, (0, 0), sigma)).reshape(sketch.image.shape)
        return Drawing(outline, material, 1, np.ones(sketch.image.shape[2], np.float32), as_it_is=True)
