"""Cut and paste: a piece of the photograph in the wrong place, its seams removed by Poisson blending."""

import cv2
import numpy as np
from numpy.random import Generator

from anomaly_diffusion.data.painting.families.family import Canvas, Drawing, Family, Form, Outline, Sketch, tint
from anomaly_diffusion.data.painting.families.pit import blob
from anomaly_diffusion.data.reading.photographs import Mask

__all__ = ["Paste", "moved"]

_MARGIN = 2  # pixels around the piece that Poisson blending needs


class Paste(Family):
    """A resized piece from elsewhere on the object.

    Reference: Schlueter et al., "Natural Synthetic Anomalies for Self-Supervised Anomaly Detection and Localization",
    2022: half-widths of .03 + Gamma(2, .05) of the side, here their ratio only, as the width is given; resized by
    N(1, .5) within [.7, 1.3]; `cv2.seamlessClone`. There the piece is of another photograph, here of the same one. Long
    pieces are the scars of Li et al., "CutPaste", 2021. The blended piece is then given the contrast that is asked for.
    """

    kind = "paste"
    elongated = None

    def draw(self, sketch: Sketch, form: Form, generator: Generator) -> Drawing:
        """Clone a piece into the outline."""
        half = 0.03 + generator.gamma(2, 0.05, 2)
        ratio = min(float(half.max() / half.min()), 3.0) if form.elongation < 3 else form.elongation
        outline = blob(sketch, Form(form.centre, form.width, ratio), generator, rough=0.12)
        scale = float(np.clip(generator.normal(1, 0.5), 0.7, 1.3))
        piece = moved(sketch, form, scale, generator, sketch.object)
        sign = int(generator.choice((-1, 1)))
        return Drawing(
            outline, _cloned(piece, sketch.image, outline), sign, tint(generator, sketch.image.shape[2], 0.1)
        )


def moved(sketch: Sketch, form: Form, scale: float, generator: Generator, places: Mask) -> Canvas:
    """Turn and resize the photograph so that one of these places (anywhere, if there is none) lies at the centre."""
    found = np.argwhere(places if places.any() else sketch.object)
    row, column = found[int(generator.integers(len(found)))]
    turn = generator.choice((-1, 1)) * generator.uniform(0.5, np.pi)
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]])
    matrix[:, 2] = np.array(form.centre[::-1]) - matrix[:, :2] @ np.array([column, row], float)
    size = sketch.size[::-1]
    turned = cv2.warpAffine(sketch.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(turned).reshape(sketch.image.shape)


def _cloned(source: Canvas, image: Canvas, outline: Outline) -> Canvas:
    """Blend the source into the image where the outline is, with the gradients of the source."""
    inside = cv2.resize(outline, image.shape[1::-1], interpolation=cv2.INTER_AREA) >= 128
    inside[[0, -1]] = inside[:, [0, -1]] = False
    left, top, width, height = cv2.boundingRect(inside.astype(np.uint8))
    if min(width, height) < 3:
        return source
    window = (
        slice(max(0, top - _MARGIN), min(image.shape[0], top + height + _MARGIN)),
        slice(max(0, left - _MARGIN), min(image.shape[1], left + width + _MARGIN)),
    )
    piece, below = (_three(part[window]) for part in (source, image))
    middle = left - window[1].start + width // 2, top - window[0].start + height // 2
    cloned = cv2.seamlessClone(piece, below, inside[window].astype(np.uint8) * 255, middle, cv2.NORMAL_CLONE)
    result = image.copy()
    result[window] = cloned[..., : image.shape[2]]
    return result


def _three(part: Canvas) -> np.ndarray:
    """Return three channels of 8 bit, which OpenCV wants."""
    return np.ascontiguousarray(np.broadcast_to(part.clip(0, 255).astype(np.uint8), (*part.shape[:2], 3)))
