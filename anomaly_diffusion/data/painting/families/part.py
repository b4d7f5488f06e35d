"""Missing and added parts of objects: background where the object should be, and object where there should be none."""

import cv2
import numpy as np
from numpy.random import Generator

from anomaly_diffusion.data.painting.families.family import Drawing, Family, Form, Sketch
from anomaly_diffusion.data.painting.families.paste import moved
from anomaly_diffusion.data.painting.families.pit import blob
from anomaly_diffusion.data.reading.photographs import Mask

__all__ = ["AddedPart", "MissingPart"]


class _AtAnEdge(Family):
    """Lies at the edge of an object."""

    share = 0.5

    def suits(self, sketch: Sketch) -> bool:
        """On objects only."""
        return sketch.has_background

    def places(self, sketch: Sketch) -> Mask:
        """Return the edge of the object, from inside."""
        return np.asarray(sketch.object & ~_eroded(sketch.object))


class MissingPart(_AtAnEdge):
    """A bite out of the edge of the object, through which the background shows with its own brightness and grain."""

    kind = "missing_part"

    def draw(self, sketch: Sketch, form: Form, generator: Generator) -> Drawing:
        """Fill an outline with the photograph of the background that lies nearest."""
        outline = blob(sketch, form, generator, rough=0.2)
        background = _eroded(~sketch.object, 2)
        if not background.any():
            background = ~sketch.object
        _, label = cv2.distanceTransformWithLabels(
            (~background).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        nearest = np.zeros((int(label.max()) + 1, sketch.image.shape[2]), np.float32)
        nearest[label[background]] = cv2.blur(sketch.image, (5, 5)).reshape(sketch.image.shape)[background]
        fine = sketch.image[background] - cv2.blur(sketch.image, (5, 5)).reshape(sketch.image.shape)[background]
        material = nearest[label] + fine[generator.integers(len(fine), size=sketch.size)]
        return Drawing(outline, material, 1, np.ones(sketch.image.shape[2], np.float32), as_it_is=True)


class AddedPart(_AtAnEdge):
    """A piece of the object where there should be background, at its edge."""

    kind = "added_part"

    def draw(self, sketch: Sketch, form: Form, generator: Generator) -> Drawing:
        """Show another part of the object through an outline that begins in the object."""
        outline = blob(sketch, form, generator, rough=0.2)
        material = moved(sketch, form, 1.0, generator, _eroded(sketch.object, max(1, round(form.width / 2))))
        ones = np.ones(sketch.image.shape[2], np.float32)
        return Drawing(outline, material, 1, ones, as_it_is=True, on_object=False)


def _eroded(mask: Mask, pixels: int = 1) -> Mask:
    return np.asarray(cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=pixels)) > 0
