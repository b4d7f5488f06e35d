"""The judge: from score, map and statistics of one photograph to a verdict, by what normal photographs were like."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float

from anomaly_diffusion.verdict_records import AnomalousRegion, Verdict
from anomaly_diffusion.verdicts.anomalous_regions import regions
from anomaly_diffusion.verdicts.conformal import Limit, default_rate, p_values
from anomaly_diffusion.verdicts.drift import drift

__all__ = ["IN_PLACE", "Judge", "NormalReference", "in_place"]

IN_PLACE = 1 / 32  # of the shorter side: so far from the defect a map may peak, a cell of the coarsest feature grid
_MOST = 100  # regions that are told of one photograph


@dataclass(frozen=True)
class NormalReference:
    """What held-out normal photographs were like, each judged by statistics that it is not part of.

    Attributes:
        scores: their scores.
        peaks: the largest values of their maps.
        masses: the masses of their heaviest regions.
        cut: above which a map has regions.
        statistics: of normal photographs, by the names of `drift.STATISTICS`; of any number of photographs each.
    """

    scores: Float[np.ndarray, " n"]
    peaks: Float[np.ndarray, " n"]
    masses: Float[np.ndarray, " n"]
    cut: float
    statistics: Mapping[str, Float[np.ndarray, " t"]]


@dataclass(frozen=True)
class Judge:
    """Says of a photograph whether it is defective, and where.

    Attributes:
        reference: of the detector that gives scores and maps.
        false_alarms: rate of normal photographs that may be called defective, in (0, 1); None: `default_rate`.

    Raises:
        ValueError: the rate is none.
    """

    reference: NormalReference
    false_alarms: float | None = None

    def __post_init__(self) -> None:
        _ = self.limit.value, self.pixel_limit.value  # refused now rather than at the first photograph

    @property
    def rate(self) -> float:
        """The rate of false alarms."""
        return default_rate(len(self.reference.scores)) if self.false_alarms is None else self.false_alarms

    @cached_property
    def limit(self) -> Limit:
        """Of scores."""
        return Limit(self.reference.scores, self.rate)

    @cached_property
    def pixel_limit(self) -> Limit:
        """Of maps: at most that rate of normal photographs have any pixel above it."""
        return Limit(self.reference.peaks, self.rate)

    @cached_property
    def mass_limit(self) -> Limit:
        """Of the masses of regions: at most that rate of normal photographs have any region heavier."""
        return Limit(self.reference.masses, self.rate)

    def described(self) -> dict[str, Any]:
        """The limits, and what they promise."""
        limit = self.limit
        return {
            "false_alarms_asked": self.rate,
            "limit": limit.value,
            "pixel_limit": self.pixel_limit.value,
            "promised": limit.promised,
            "at_most": limit.at_most,
            "normals": limit.count,
            "extrapolated": limit.extrapolated,
        }

    def __call__(
        self,
        score: float,
        anomaly_map: Float[np.ndarray, "H W"],
        valid: Bool[np.ndarray, "H W"],
        statistics: Mapping[str, float],
        mask: Bool[np.ndarray, "H W"] | None = None,
    ) -> Verdict:
        """The verdict on a photograph, regions in pixels of the map.

        Args:
            score: image anomaly score.
            anomaly_map: in standard deviations of normal images.
            valid: pixels that belong to the photograph.
            statistics: by the names of `drift.STATISTICS`.
            mask: its defects, where they are known.
        """
        p_value = float(p_values(np.array([score]), self.reference.scores)[0])
        row, column = np.unravel_index(np.where(valid, anomaly_map, -np.inf).argmax(), valid.shape)
        defective = score > self.limit.value
        found = self._regions(anomaly_map, valid)
        standing_out = [region for region in found if region.mass > self.mass_limit.value]
        told = tuple((standing_out or (found[:1] if defective else []))[:_MOST])
        said = drift(statistics, self.reference.statistics)
        peak = int(column), int(row)
        return Verdict(p_value, self.limit.value, defective, said, told, peak, in_place(peak, mask))

    def _regions(self, anomaly_map: np.ndarray, valid: np.ndarray) -> list[AnomalousRegion]:
        found = regions(anomaly_map, valid, self.reference.cut)
        worth = p_values(np.array([region.mass for region in found]), self.reference.masses)
        return [region._replace(p_value=float(p)) for region, p in zip(found, worth, strict=True)]


def in_place(peak: tuple[int, int], mask: Bool[np.ndarray, "H W"] | None) -> bool | None:
    """Whether a map peaks at a defect, or no further from one than `IN_PLACE`; None where no defect is known.

    Args:
        peak: column and row.
        mask: the defects.
    """
    if mask is None or not mask.any():
        return None
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return bool(distance[peak[1], peak[0]] <= IN_PLACE * min(mask.shape))
