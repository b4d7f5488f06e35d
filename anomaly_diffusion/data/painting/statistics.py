"""What a defect looks like in numbers, measured alike on real defects and on painted ones."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from anomaly_diffusion.data.reading.photographs import Mask, Pixels

__all__ = ["FRAME", "RING", "DefectStatistics", "defect_statistics", "framed", "region_statistics", "surroundings"]

FRAME = 256  # longer side, in pixels, of the copy on which defects are measured
_EDGE = 2  # pixels of that copy beyond which surroundings begin, as edges are soft
RING = 10  # pixels of that copy where they end
_LEAST_STD = 1.0  # grey levels: surroundings without any grain count as those with that of rounding


@dataclass(frozen=True)
class DefectStatistics:
    """How strong, wide, long and rough one connected defect is, on a copy whose longer side is `FRAME` pixels.

    Attributes:
        cnr: contrast-to-noise ratio, |mean inside - mean of the ring| / standard deviation of the ring, grey.
        width: diameter of the largest disc inside over the shorter side of the photograph.
        elongation: area over the square of that diameter, at least 1: length over width of whatever has one width.
        std_ratio: standard deviation inside over that of the ring: below 1 smoother, above 1 rougher.
    """

    cnr: float
    width: float
    elongation: float
    std_ratio: float


def defect_statistics(image: Pixels, mask: Mask) -> list[DefectStatistics]:
    """Measure every connected defect of a photograph.

    Args:
        image: the photograph, of any size; one whose longer side is below `FRAME` pixels is measured as it is.
        mask: its defect pixels.
    """
    size = framed(image.shape[:2])
    grey = cv2.resize(image.mean(axis=2, dtype=np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    count, label = cv2.connectedComponents(mask.astype(np.uint8))
    regions = (_shrunk(label == number, size) for number in range(1, count))
    defective = _shrunk(mask, size)
    return [region_statistics(grey, region, defective, min(size)) for region in regions]


def region_statistics(grey: Float32[np.ndarray, "H W"], region: Mask, defective: Mask, short: int) -> DefectStatistics:
    """Measure one connected defect on the measuring copy.

    Args:
        grey: the copy, in levels of 255.
        region: pixels of this defect, at least one.
        defective: pixels of all defects, which are no surroundings of each other.
        short: shorter side of the whole copy, of which this may be a part.
    """
    rows, columns = _box(region, RING)
    inside, values = region[rows, columns], grey[rows, columns]
    ring = surroundings(inside) & ~defective[rows, columns]
    around = values[ring] if ring.any() else values[~inside] if not inside.all() else values
    std = max(float(around.std()), _LEAST_STD)
    diameter = _diameter(inside)
    return DefectStatistics(
        abs(float(values[inside].mean() - around.mean())) / std,
        diameter / short,
        max(1.0, float(inside.sum()) / diameter**2),
        float(values[inside].std()) / std,
    )


def surroundings(inside: Mask) -> Mask:
    """Return the ring around a defect: beyond `_EDGE` pixels, up to `RING`."""
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray((distance > _EDGE) & (distance <= RING))


def framed(size: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of the measuring copy of a photograph of that size."""
    scale = min(1.0, FRAME / max(size[:2]))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _shrunk(mask: Mask, size: tuple[int, int]) -> Mask:
    """Return the pixels that are covered for their half, or, where a defect is too thin, for half of the most."""
    share = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(share >= min(0.5, max(float(share.max()) / 2, 1e-6)))


def _diameter(inside: Mask) -> float:
    """Return the diameter of the largest disc; every pixel counts as two by two, so that even widths have a middle."""
    fine = inside.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    padded = cv2.copyMakeBorder(fine, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, 5).max())


def _box(region: Mask, margin: int) -> tuple[slice, slice]:
    left, top, width, height = cv2.boundingRect(region.astype(np.uint8))
    return slice(max(0, top - margin), top + height + margin), slice(max(0, left - margin), left + width + margin)
