"""Which defects are found, by their size and by how much they stand out from their surroundings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from anomaly_diffusion.metrics.curves import auroc, count_scores

if TYPE_CHECKING:
    from anomaly_diffusion.types import ImageResult


@dataclass(frozen=True)
class SizeClass:
    """Defective images whose defects are about as large, or about as strong.

    Args:
        largest: upper end of the class: a share of the photograph, or a contrast.
        count: number of defective images in it.
        image_auroc: how well their scores are told from those of all normal images; NaN without any.
        recall: share of them that are called defective; NaN without verdicts.
    """

    largest: float
    count: int
    image_auroc: float
    recall: float = math.nan


def by_size(results: "Sequence[ImageResult]", classes: int = 3) -> list[SizeClass]:
    """Image AUROC and recall of equally many small, middle and large defects; images without a mask are left out.

    Args:
        results: test images.
        classes: number of classes, at least 1.
    """
    return _by("defect_share", results, classes)


def by_contrast(results: "Sequence[ImageResult]", classes: int = 3) -> list[SizeClass]:
    """The same of equally many faint, middle and strong defects.

    Args:
        results: test images with their `measures`.
        classes: number of classes, at least 1.
    """
    return _by("defect_contrast", results, classes)


def _by(column: str, results: "Sequence[ImageResult]", classes: int) -> list[SizeClass]:
    if classes < 1:
        raise ValueError(f"`classes` must be at least 1, got {classes}.")
    normal = [result.score for result in results if result.label == 0]
    found = [result for result in results if result.defect_share > 0]
    values = [(result.number(column), result.score, _called(result)) for result in found]
    known = sorted(value for value in values if not math.isnan(value[0]))
    parts = np.array_split(np.array(known).reshape(-1, 3), classes)
    return [_class(part[:, 0], part[:, 1], part[:, 2], normal) for part in parts if len(part)]


def _called(result: "ImageResult") -> float:
    """1 where it is called defective, 0 where normal, NaN without a verdict."""
    return math.nan if result.verdict is None else float(result.verdict.defective)


def _class(values: np.ndarray, scores: np.ndarray, called: np.ndarray, normal: list[float]) -> SizeClass:
    recall = float(called.mean())
    return SizeClass(float(values[-1]), len(values), _auroc(normal, scores.tolist()), recall)


def _auroc(normal: list[float], defective: list[float]) -> float:
    """By counts alone: a metric with a state would wait for other processes."""
    label = np.array([False] * len(normal) + [True] * len(defective))
    return auroc(count_scores(np.array(normal + defective), label))
