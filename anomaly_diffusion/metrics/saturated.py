"""Saturated per-region overlap (sPRO): a defect counts as found once enough of it is found."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from anomaly_diffusion.metrics.anomaly import PixelMetrics
from anomaly_diffusion.metrics.connected_components import UNIT
from anomaly_diffusion.metrics.histogram import order_key
from anomaly_diffusion.types import Maps, Region

__all__ = ["SaturatedFigures", "SaturatedOverlap", "saturated_shares"]


class SaturatedFigures(NamedTuple):
    """How well anomaly maps find defects of which a part is enough; NaN without defective or without normal pixels.

    Attributes:
        spro: area under the saturated per-region overlap up to a false-positive rate of 0.3, divided by that.
        spro_05: the same up to 0.05, the figure of the paper's tables.
    """

    spro: float
    spro_05: float


class SaturatedOverlap(PixelMetrics):
    """The curve of sPRO = mean over regions of min(found pixels / saturation, 1), in one pass and in bounded memory.

    As a threshold falls, the first pixels of a region that it finds are those of the highest scores. So a region's s
    highest pixels have a share of 1/s in it each, the others none, and the curve is that of AUPRO with other shares.

    Reference: Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
    Localization", IJCV 2022, Section 4. Differs from the paper: nothing. Every score that occurs is a threshold.

    Args:
        pages: as of `PixelMetrics`.
        nodes: as of `PixelMetrics`.
    """

    def update(self, anomaly_map: Maps, regions: Sequence[Sequence[Region]]) -> None:  # type: ignore[override]
        """Count the pixels of a batch.

        Args:
            anomaly_map: scores of any range, larger is worse, at the size of the regions.
            regions: the defects of each image; none for a normal one.

        Raises:
            ValueError: if a score is NaN, or shapes do not fit.
        """
        keys = order_key(anomaly_map.detach())  # refuses NaN before anything is counted
        pixels = []
        for key, scores, marked in zip(keys, anomaly_map.detach().float().cpu().numpy(), regions, strict=True):
            found, share = saturated_shares(scores[0], marked)
            counted = (torch.from_numpy(part).to(key.device) for part in (np.flatnonzero(found), share))
            pixels.append((key.flatten(), *counted))
        self._count(pixels)

    def compute(self) -> SaturatedFigures:  # type: ignore[override]
        """The figures of all pixels so far."""
        figures = super().compute()
        return SaturatedFigures(figures.aupro, figures.aupro_05)


def saturated_shares(
    score: Float[np.ndarray, "H W"], regions: Sequence[Region]
) -> tuple[Bool[np.ndarray, "H W"], Int64[np.ndarray, " n"]]:
    """Which pixels lie in a region, and their shares in the saturated overlap, in units of 1 / `UNIT`, in raster order.

    Raises:
        ValueError: if a region is empty, has another size than the map, or its saturation is not positive.
    """
    found, share = np.zeros(score.shape, bool), np.zeros(score.size, np.int64)
    for mask, saturation in regions:
        if mask.shape != score.shape or not mask.any() or not saturation > 0:
            raise ValueError(
                f"A region must have pixels, the size of its map ({score.shape}) and a positive saturation, "
                f"got {mask.sum()} pixels of {mask.shape} and {saturation}."
            )
        place = np.flatnonzero(mask)
        enough = min(saturation, len(place))
        ranked = place[np.argsort(-score.flat[place], kind="stable")[: int(np.ceil(enough))]]
        part = np.minimum(enough - np.arange(len(ranked)), 1) / enough  # the last may count for a fraction
        share[ranked] += np.rint(UNIT * part).astype(np.int64)
        found |= mask
    return found, share[found.ravel()]
