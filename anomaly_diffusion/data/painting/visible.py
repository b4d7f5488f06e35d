"""Which changes of a photograph are a defect: those that a person sees, gaps closed and specks left out."""

from functools import reduce

import cv2
import numpy as np

from anomaly_diffusion.data.reading.photographs import Mask, Pixels

__all__ = ["VISIBLE", "visible"]

VISIBLE = 8  # levels of 255: a smaller change is undone, a larger one belongs to the mask


def visible(part: Pixels, painted: Pixels, size: tuple[int, ...], speck: float) -> Mask:
    """Return where a part of a photograph differs visibly.

    Args:
        part: as it was.
        painted: as it is.
        size: height and width of the whole photograph, which decide what is a gap.
        speck: pixels below which a separate piece is undone; at least 3.
    """
    difference = reduce(np.maximum, cv2.split(cv2.absdiff(part, painted)))
    changed = (difference >= VISIBLE).astype(np.uint8)
    width = 1 + 2 * max(1, round(min(size) / 128))
    border = width  # closing must not see the edge of the photograph as a defect
    padded = cv2.copyMakeBorder(changed, border, border, border, border, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((width, width), np.uint8))
    pieces, label, statistics, _ = cv2.connectedComponentsWithStats(closed[border:-border, border:-border])
    large = statistics[:, cv2.CC_STAT_AREA] >= max(3, speck)
    large[0] = False
    return large[label] if pieces > 1 else np.zeros(changed.shape, bool)
