"""How far a photograph lies from a mean one: shift and rotation, in OpenCV."""

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from jaxtyping import Float

__all__ = ["Motion", "motion_between", "moved"]

Grey = Float[np.ndarray, "H W"]

_SIDE = 256  # pixels of the longer side on which motion is looked for
_STEPS, _ENOUGH = 60, 1e-5  # of ECC
_BLUR = 5  # pixels of ECC's Gaussian filter


@dataclass(frozen=True)
class Motion:
    """Where the content of a reference lies in a photograph.

    Attributes:
        matrix: (2, 3): pixel (x, y) of the reference is pixel `matrix @ (x, y, 1)` of the photograph.
        before: correlation of the two as they are, in [-1, 1].
        after: the same when the photograph has been moved back.
    """

    matrix: Float[np.ndarray, "2 3"]
    before: float
    after: float

    @property
    def degrees(self) -> float:
        """The rotation."""
        return math.degrees(math.atan2(self.matrix[1, 0], self.matrix[0, 0]))

    def shift(self, size: tuple[int, int]) -> float:
        """How far the centre of a photograph of height and width `size` has moved, in pixels."""
        centre = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2, 1])
        return float(np.hypot(*(self.matrix @ centre - centre[:2])))

    @property
    def moves(self) -> bool:
        """Whether it is any motion at all."""
        return not np.array_equal(self.matrix, _still())


def motion_between(
    reference: Grey, image: Grey, rotation: bool = True, shift: float = 0.1, turn: float = 10.0
) -> Motion:
    """Phase correlation for the shift, then the enhanced correlation coefficient (ECC) for what is left of it.

    References: Kuglin & Hines, "The Phase Correlation Image Alignment Method", 1975; Evangelidis & Psarakis,
    "Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization", 2008.

    Differs from the paper: both are OpenCV's; a motion is only believed where it raises the correlation of the two
    images, and lies within the bounds.

    Args:
        reference: grey, any range.
        image: of the same size.
        rotation: whether parts are turned as well.
        shift: largest shift, as a share of the longer side; > 0.
        turn: largest rotation, in degrees; > 0.

    Returns:
        No motion where none is believed.
    """
    scale = min(1.0, _SIDE / max(reference.shape))
    small, shown = (_smaller(one, scale) for one in (reference, image))
    before = _correlation(small, shown, _still())
    best = Motion(_still(), before, before)
    for matrix in _candidates(small, shown, rotation):
        found = Motion(matrix, before, _correlation(small, shown, matrix))
        near = found.shift(small.shape) <= shift * max(small.shape) and abs(found.degrees) <= turn
        if near and found.after > best.after:
            best = found
    return Motion(_enlarged(best.matrix, scale), best.before, best.after)


def moved(image: Grey, matrix: Float[np.ndarray, "2 3"]) -> Grey:
    """The photograph where its reference lies; its border goes on outside of it."""
    size = image.shape[1], image.shape[0]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cast(Grey, cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _still() -> Float[np.ndarray, "2 3"]:
    return np.eye(2, 3)


def _smaller(image: Grey, scale: float) -> Float[np.ndarray, "h w"]:
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return cast(np.ndarray, cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA))


def _enlarged(matrix: Float[np.ndarray, "2 3"], scale: float) -> Float[np.ndarray, "2 3"]:
    """The same motion of an image that is larger by 1 / scale, whose pixels have their centres elsewhere."""
    if np.array_equal(matrix, _still()):
        return matrix
    offset = 0.5 - 0.5 / scale  # of a small pixel's centre in large ones, but for the sign
    linear, shift = matrix[:, :2], matrix[:, 2]
    return np.column_stack([linear, shift / scale + (linear @ np.full(2, offset)) - offset])


def _candidates(reference: Grey, image: Grey, rotation: bool) -> list[Float[np.ndarray, "2 3"]]:
    """Motions that may be, the coarse one first."""
    window = cv2.createHanningWindow((reference.shape[1], reference.shape[0]), cv2.CV_32F)
    shift, _ = cv2.phaseCorrelate(reference.copy(), image.copy(), window)  # which multiplies its arguments in place
    coarse = _still()
    coarse[:, 2] = shift
    kind = cv2.MOTION_EUCLIDEAN if rotation else cv2.MOTION_TRANSLATION
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, _ENOUGH)
    found = [coarse]
    for start in (coarse, _still()):
        try:
            _, matrix = cv2.findTransformECC(
                reference,
                image,
                start.astype(np.float32),
                kind,
                criteria,
                None,
                _BLUR,
            )
        except cv2.error:  # nothing in common, or nothing to see
            continue
        found.append(matrix.astype(np.float64))
    return found


def _correlation(reference: Grey, image: Grey, matrix: Float[np.ndarray, "2 3"]) -> float:
    """Pearson's correlation; 0 where one of them shows nothing."""
    a, b = (one - one.mean() for one in (reference, moved(image, matrix)))
    scale = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0
