"""Regions of an anomaly map: connected parts above a cut, with box, area, peak and mass."""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from anomaly_diffusion.verdict_records import AnomalousRegion

__all__ = ["cut_of", "largest_mass", "quantile_of", "regions"]

_QUANTILE, _FACTOR = 0.95, 1.421


def cut_of(quantiles: Float[np.ndarray, " n"]) -> float:
    """The lower cut: 1.421 times the mean over normal photographs of their maps' 95th percentiles.

    The factor is that of the winner of the VAND 4.0 challenge, which took it for the pixel threshold of every class;
    here only the cut is found by it: what a region is worth, `largest_mass` of normal photographs decides.

    Args:
        quantiles: the 95th percentile of each normal photograph's map.
    """
    return max(0.0, float(_FACTOR * quantiles.mean()))


def quantile_of(anomaly_map: Float[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"]) -> float:
    """The 95th percentile of a map within the photograph."""
    return float(np.quantile(anomaly_map[valid], _QUANTILE))


def regions(anomaly_map: Float[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"], cut: float) -> list[AnomalousRegion]:
    """The regions of a map, heaviest first; parts that touch at a corner belong together.

    Args:
        anomaly_map: in standard deviations of normal images.
        valid: pixels that belong to the photograph.
        cut: what the map exceeds in a region.
    """
    above = (anomaly_map > cut) & valid
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(above.view(np.uint8), connectivity=8)
    if count == 1:
        return []
    label, value = labels[above], anomaly_map[above].astype(np.float64)
    mass = np.bincount(label, value - cut, count)
    peak = np.full(count, -np.inf)
    np.maximum.at(peak, label, value)
    found = [
        AnomalousRegion(x, y, width, height, area, float(peak[one]), float(mass[one]))
        for one, (x, y, width, height, area) in enumerate(boxes.tolist())
        if one
    ]
    return sorted(found, key=lambda region: -region.mass)


def largest_mass(anomaly_map: Float[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"], cut: float) -> float:
    """The mass of the heaviest region; 0 where the map exceeds the cut nowhere."""
    return max((region.mass for region in regions(anomaly_map, valid, cut)), default=0.0)
