"""Defective regions: the connected components of a mask, as AUPRO counts them."""

import cv2
import numpy as np
from jaxtyping import Bool, Int64

UNIT = 1 << 40
"""One whole region, in the integers that shares are counted in: sums of integers do not depend on their order."""


def region_shares(mask: Bool[np.ndarray, "H W"]) -> Int64[np.ndarray, " n"]:
    """The share of its region that each defective pixel makes up, in units of 1 / `UNIT`, in raster order.

    Regions are 8-connected. A threshold's sum of shares over `UNIT` is its per-region overlap, summed over regions.
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    box = mask[top : top + height, left : left + width]
    if not box.size:
        return np.zeros(0, dtype=np.int64)
    _, component = cv2.connectedComponents(box.view(np.uint8), connectivity=8)
    region = component[box]
    size = np.maximum(np.bincount(region), 1)
    share: Int64[np.ndarray, " n"] = np.rint(UNIT / size).astype(np.int64)[region]
    return share
