"""The figures of merit as pure functions of pixel (or image) counts per threshold.

Counts are listed from the highest threshold to the lowest. Every figure is NaN where it has no meaning: without
anything defective, or without anything normal.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64


class ThresholdCounts(NamedTuple):
    """What lies at each threshold, highest first; K thresholds.

    Attributes:
        threshold: everything counted here or earlier scores at least this much.
        normal: normal pixels between this threshold and the one before.
        defective: defective pixels, likewise.
        overlap: the sum of 1 / (size of its region) over those defective pixels, in any unit.
        tied: True where the scores counted here are equal, False where several different scores share a bin.
    """

    threshold: Float[np.ndarray, " K"]
    normal: Int64[np.ndarray, " K"]
    defective: Int64[np.ndarray, " K"]
    overlap: Float[np.ndarray, " K"]
    tied: Bool[np.ndarray, " K"]

    @property
    def one_sided(self) -> bool:
        """True where one of the two classes is missing, so that no figure has a meaning."""
        return not (self.normal.any() and self.defective.any())


def count_scores(
    score: Float[np.ndarray, " N"], defective: Bool[np.ndarray, " N"], share: Int64[np.ndarray, " N"] | None = None
) -> ThresholdCounts:
    """Count few scores exactly: one threshold per distinct score.

    Args:
        score: of any range.
        defective: which are those of defects.
        share: how much of its region each makes up; alike for all if None.
    """
    level, place = np.unique(score, return_inverse=True)
    found = np.bincount(place[defective], minlength=len(level))[::-1]
    total = np.bincount(place, minlength=len(level))[::-1]
    overlap = found.astype(np.float64) if share is None else np.bincount(place, share, len(level))[::-1]
    return ThresholdCounts(level[::-1], total - found, found, overlap, np.ones(len(level), dtype=bool))


def auroc(counts: ThresholdCounts) -> float:
    """Area under the receiver operating characteristic: P(defective > normal) + P(equal) / 2."""
    if counts.one_sided:
        return float("nan")
    above = np.cumsum(counts.defective) - counts.defective / 2
    return _dot(counts.normal, above) / (float(counts.defective.sum()) * float(counts.normal.sum()))


def average_precision(counts: ThresholdCounts) -> float:
    """Mean over the defective of the precision at their own score.

    Equal scores are all accepted before the precision is taken (as scikit-learn does). Different scores sharing a bin
    are taken to be mixed evenly: the mean precision there is close to the one half-way, where (p + 1) / 2 of the p
    defective and half of the normal have been accepted.
    """
    if counts.one_sided:
        return float("nan")
    mixed = ~counts.tied
    tp = np.cumsum(counts.defective) - mixed * (counts.defective - 1) / 2
    found = np.cumsum(counts.normal) - mixed * counts.normal / 2 + tp  # at least 1 where anything is defective
    return _dot(counts.defective, tp / found.clip(min=1)) / float(counts.defective.sum())


def least_average_precision(counts: ThresholdCounts) -> float:
    """No more than the mean precision if the defective of an untied threshold score less than the normal, and differ.

    There it rises from that of the first to that of the last of them, ever more slowly: the mean of those two is less.
    """
    if counts.one_sided:
        return float("nan")
    last = np.cumsum(counts.defective)
    first = np.where(counts.tied, last, last - counts.defective + 1)
    fp = np.cumsum(counts.normal)
    mean = (first / (first + fp).clip(min=1) + last / (last + fp).clip(min=1)) / 2
    return float(counts.defective @ mean) / float(last[-1])


def f1_max(counts: ThresholdCounts) -> tuple[float, float]:
    """The largest F1 = 2 TP / (2 TP + FP + FN) and the (highest) threshold `score >= threshold` that reaches it.

    Where different scores share bins it is the best of the bins' edges: never too high, and too low by a few pixels.
    F1 has no maximum inside a bin whose pixels are evenly mixed, so interpolation would not raise it.
    """
    if counts.one_sided:
        return float("nan"), float("nan")
    tp = np.cumsum(counts.defective)
    f1 = 2 * tp / (counts.defective.sum() + tp + np.cumsum(counts.normal))
    best = int(f1.argmax())
    return float(f1[best]), float(counts.threshold[best])


def aupro(counts: ThresholdCounts, limit: float) -> float:
    """Area under per-region overlap against false-positive rate, from 0 to `limit`, divided by `limit`.

    The curve joins its points by straight lines and is cut at exactly `limit`.

    Reference: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021, Section 5.

    Args:
        counts: with the overlap of regions.
        limit: the largest false-positive rate, in (0, 1].

    Raises:
        ValueError: if `limit` is no rate.
    """
    if not 0 < limit <= 1:
        raise ValueError(f"`limit` must lie in (0, 1], got {limit}.")
    if counts.one_sided:
        return float("nan")
    fp = np.cumsum(counts.normal)
    end = np.searchsorted(fp, limit * fp[-1], side="right") + 1
    fpr = np.append(0.0, fp[:end] / fp[-1])
    overlap = np.append(0.0, np.cumsum(counts.overlap[:end]) / counts.overlap.sum())
    stop = int(np.searchsorted(fpr, limit, side="right"))
    edge = np.interp(limit, fpr[stop - 1 : stop + 1], overlap[stop - 1 : stop + 1])
    area = _dot(np.diff(fpr[:stop]), overlap[1:stop] + overlap[: stop - 1]) / 2
    return float(area + (limit - fpr[stop - 1]) * (edge + overlap[stop - 1]) / 2) / limit


def _dot(weights: np.ndarray, values: np.ndarray) -> float:
    """Sum of products; the last bits of `weights @ values` would depend on the number of threads."""
    return float((weights * values).sum())
