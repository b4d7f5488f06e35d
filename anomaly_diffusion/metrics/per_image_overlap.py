"""Area under the per-image overlap (AUPIMO): what is found where next to no normal pixel is taken for a defect."""

import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from anomaly_diffusion.types import Maps, Masks

__all__ = ["BOUNDS", "PerImageOverlap", "aupimo"]

BOUNDS = (1e-5, 1e-4)
_ROOM = 1 << 16  # scores in the first block
_ROWS = 1024  # images in the first block


class PerImageOverlap(Metric):
    r"""AUPIMO = mean over defective images of \int TPR_i d(log F) / log(U / L), from F = L to F = U.

    F is the rate of false-positive pixels averaged over normal images alone, TPR_i the share of the defective pixels
    of image i that is found; normal pixels of defective images do not count. Every score that occurs is a threshold.

    Of a normal image the highest scores are kept, of a defective one its defect's, `kept` of each at most: 16 KiB an
    image. The figure is exact as long as there are no more; of a larger defect evenly spread ones stand for all, so
    that TPR_i is off by 1 / (2 `kept`) at most, and a normal image that has more above the threshold is warned of.

    Reference: Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low
    Tolerance", BMVC 2024, Sections 3 and 4. Differs from the paper: nothing.

    Args:
        kept: so many scores of each image, >= 1.
        **kwargs: those of `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    scores: list[Tensor]
    images: list[Tensor]

    def __init__(self, kept: int = 4096, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kept < 1:
            raise ValueError(f"`kept` must be at least 1, got {kept}.")
        self.kept = kept
        self.add_state(
            "scores", [], dist_reduce_fx="cat"
        )  # one block, as small ones would break up memory; NaN is room
        self.add_state("images", [], dist_reduce_fx="cat")  # scores kept, pixels, whether defective; -1 is room
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self.scores.append(torch.full((_ROOM,), torch.nan, device=self.device))
        self.images.append(torch.full((_ROWS, 3), -1, device=self.device))
        self._used, self._rows = 0, 0

    def update(self, anomaly_map: Maps, mask: Masks, valid: Masks | None = None) -> None:
        """Keep scores of a batch.

        Args:
            anomaly_map: scores of any range but NaN, larger is worse.
            mask: True for defective pixels; an image with none is normal.
            valid: False for pixels that belong to no photograph, which are left out; all count if None.
        """
        for index, scores in enumerate(anomaly_map.detach().float()):
            inside = torch.ones_like(mask[index]) if valid is None else valid[index]
            found = mask[index] & inside
            defective = bool(found.any())
            chosen = scores[found] if defective else scores[inside]
            if len(chosen):
                self._keep(self._evenly(chosen) if defective else self._highest(chosen), len(chosen), defective)

    def compute(self) -> float:
        """The figure of all images so far; NaN without normal or without defective ones."""
        scores, images = dim_zero_cat(self.scores), dim_zero_cat(self.images)
        known = scores[~scores.isnan()].cpu().numpy()
        figure, exact = aupimo(known, images[images[:, 0] >= 0].cpu().numpy())
        if not exact:
            warnings.warn(
                f"AUPIMO is too high: a normal image has more than {self.kept} pixels above the threshold.",
                stacklevel=2,
            )
        return figure

    def _highest(self, scores: Float[Tensor, " n"]) -> Float[Tensor, " k"]:
        return scores.topk(min(len(scores), self.kept)).values

    def _evenly(self, scores: Float[Tensor, " n"]) -> Float[Tensor, " k"]:
        """All of them, or the middle one of each of `kept` parts of equal size."""
        if len(scores) <= self.kept:
            return scores
        places = ((torch.arange(self.kept, dtype=torch.float64) + 0.5) * len(scores) / self.kept).long()
        return scores.sort().values[places.to(scores.device)]

    def _keep(self, scores: Float[Tensor, " k"], pixels: int, defective: bool) -> None:
        end = self._used + len(scores)
        while end > len(self.scores[0]):
            self.scores[0] = torch.cat([self.scores[0], torch.full_like(self.scores[0], torch.nan)])
        if self._rows == len(self.images[0]):
            self.images[0] = torch.cat([self.images[0], torch.full_like(self.images[0], -1)])
        self.scores[0][self._used : end] = scores
        self.images[0][self._rows] = torch.tensor([len(scores), pixels, int(defective)])
        self._used, self._rows = end, self._rows + 1


def aupimo(
    scores: Float[np.ndarray, " S"], images: Int64[np.ndarray, "N 3"], bounds: tuple[float, float] = BOUNDS
) -> tuple[float, bool]:
    """The mean AUPIMO of defective images, and whether it is exact.

    Below the rate of the highest normal score the curve has the height it has there: a line to log 0 is level.

    Args:
        scores: those kept of each image, image by image.
        images: how many were kept, of how many pixels, and whether the image is defective (1 or 0).
        bounds: least and largest rate of false-positive pixels, 0 < least < largest <= 1.
    """
    kept, pixels, defective = images.T
    normals, defects = int((defective == 0).sum()), int(defective.sum())
    if not normals or not defects:
        return float("nan"), True
    of_defect = np.repeat(defective > 0, kept)
    threshold, rate = _rates(scores[~of_defect], np.repeat(1 / pixels, kept)[~of_defect] / normals)
    found = _Shares(scores[of_defect], np.repeat(1 / kept, kept)[of_defect] / defects)
    area = _area(rate, found.above(threshold), found.at_least(threshold), bounds)
    last = threshold[min(int(np.searchsorted(rate, bounds[1])), len(rate) - 1)]
    lowest = np.minimum.reduceat(scores, np.cumsum(kept) - kept)
    cut = (defective == 0) & (kept < pixels)
    return area, not bool((lowest[cut] > last).any())


class _Shares:
    """Weights of the scores above a threshold."""

    def __init__(self, scores: np.ndarray, weights: np.ndarray) -> None:
        order = np.argsort(scores, kind="stable")
        self.scores = scores[order].astype(np.float64)
        self.sums = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)

    def at_least(self, threshold: np.ndarray) -> np.ndarray:
        return self.sums[np.searchsorted(self.scores, threshold, side="left")]

    def above(self, threshold: np.ndarray) -> np.ndarray:
        return self.sums[np.searchsorted(self.scores, threshold, side="right")]


def _rates(scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct scores, highest first, and the sum of weights down to each."""
    threshold, place = np.unique(scores.astype(np.float64), return_inverse=True)
    return threshold[::-1], np.cumsum(np.bincount(place, weights, len(threshold))[::-1])


def _area(rate: np.ndarray, before: np.ndarray, after: np.ndarray, bounds: tuple[float, float]) -> float:
    """Area over log rate within bounds, divided by its width.

    From each rate to the next the curve goes from `before` to `after` of the next in a line over the logarithm.
    """
    low, high = np.log(bounds)
    ends = np.log(rate)
    starts = np.append(-np.inf, ends[:-1])
    left, right = starts.clip(low, high), ends.clip(low, high)
    slope = np.zeros_like(ends)
    np.divide(after - before, ends - starts, out=slope, where=np.isfinite(starts) & (ends > starts))
    anchor = np.where(np.isfinite(starts), starts, left)
    middle = before + slope * ((left + right) / 2 - anchor)
    beyond = max(0.0, high - max(low, float(ends[-1]))) * after[-1]
    return float(((right - left) * middle).sum() + beyond) / float(high - low)
