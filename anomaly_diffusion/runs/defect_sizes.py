"""Which defects are found, by their size and by how much they stand out from their surroundings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly_diffusion.metrics.curves import auroc, count_scores
from anomaly_diffusion.types import ImageResult


@dataclass(frozen=True)
class SizeClass:
    """Defective images whose defects are about as large, or about as strong.

    Args:
        largest: upper end of the class: a share of the photograph, or a contrast.
        count: number of defective images in it.
        image_auroc: how well their scores are told from those of all normal images; NaN without any.
        recall: share of them whose score reaches the threshold; NaN without a threshold.
    """

    largest: float
    count: int
    image_auroc: float
    recall: float = math.nan


def by_size(results: Sequence[ImageResult], classes: int = 3, threshold: float = math.nan) -> list[SizeClass]:
    """Image AUROC and recall of equally many small, middle and large defects; images without a mask are left out.

    Args:
        results: of images of both classes.
        classes: number of classes, at least 1.
        threshold: score from which an image is called defective.
    """
    return _by("defect_share", results, classes, threshold)


def by_contrast(results: Sequence[ImageResult], classes: int = 3, threshold: float = math.nan) -> list[SizeClass]:
    """The same of equally many faint, middle and strong defects.

    Args:
        results: of images of both classes, with the measure "defect_contrast".
        classes: number of classes, at least 1.
        threshold: score from which an image is called defective.
    """
    return _by("defect_contrast", results, classes, threshold)


def _by(column: str, results: Sequence[ImageResult], classes: int, threshold: float) -> list[SizeClass]:
    if classes < 1:
        raise ValueError(f"`classes` must be at least 1, got {classes}.")
    normal = [result.score for result in results if result.label == 0]
    values = [(result.number(column), result.score) for result in results if result.defect_share > 0]
    known = sorted(value for value in values if not math.isnan(value[0]))
    parts = np.array_split(np.array(known).reshape(-1, 2), classes)
    return [_class(part[:, 0], part[:, 1], normal, threshold) for part in parts if len(part)]


def _class(values: np.ndarray, scores: np.ndarray, normal: list[float], threshold: float) -> SizeClass:
    recall = math.nan if math.isnan(threshold) else float((scores >= threshold).mean())
    return SizeClass(float(values[-1]), len(values), _auroc(normal, scores.tolist()), recall)


def _auroc(normal: list[float], defective: list[float]) -> float:
    """By counts alone: a metric with a state would wait for other processes."""
    label = np.array([False] * len(normal) + [True] * len(defective))
    return auroc(count_scores(np.array(normal + defective), label))
