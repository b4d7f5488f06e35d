"""The regions of a verdict as a picture, without torch."""

import cv2
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from anomaly_diffusion.verdict_records import Verdict

__all__ = ["region_mask"]


def region_mask(anomaly_map: Float[ndarray, "H W"], cut: float, verdict: Verdict) -> bytes:
    """The regions of a verdict as a PNG of a file's size: 255 where the map exceeds the cut inside one of their boxes.

    Args:
        anomaly_map: at the size of the file.
        cut: what the map exceeds in a region.
        verdict: with regions in pixels of the file.
    """
    inside = np.zeros(anomaly_map.shape, bool)
    for region in verdict.regions:
        inside[region.y : region.y + region.height, region.x : region.x + region.width] = True
    return bytes(cv2.imencode(".png", ((anomaly_map > cut) & inside).astype(np.uint8) * 255)[1])
