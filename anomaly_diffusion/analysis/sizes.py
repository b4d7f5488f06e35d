"""Which defects are found, by their size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from anomaly_diffusion.metrics.anomaly import ImageMetrics


@dataclass(frozen=True)
class SizeClass:
    """Defective images whose defects are about as large.

    Args:
        largest: upper end of the class, as a share of the photograph.
        count: number of defective images in it.
        image_auroc: how well their scores are told from those of all normal images; NaN without any.
    """

    largest: float
    count: int
    image_auroc: float


def by_size(rows: Sequence[Mapping[str, str]], classes: int = 3) -> list[SizeClass]:
    """Image AUROC of equally many small, middle and large defects; images without a mask are left out.

    Args:
        rows: lines of a `per_image.csv`.
        classes: number of classes, at least 1.
    """
    if classes < 1:
        raise ValueError(f"`classes` must be at least 1, got {classes}.")
    normal = [float(row["score"]) for row in rows if row["label"] == "0"]
    defects = [(float(row["defect_share"]), float(row["score"])) for row in rows if float(row["defect_share"]) > 0]
    parts = np.array_split(np.array(sorted(defects)).reshape(-1, 2), classes)
    return [SizeClass(part[-1, 0], len(part), _auroc(normal, part[:, 1].tolist())) for part in parts if len(part)]


def _auroc(normal: list[float], defective: list[float]) -> float:
    metric = ImageMetrics()
    label = torch.tensor([False] * len(normal) + [True] * len(defective))
    metric.update(torch.tensor(normal + defective), label)
    return metric.compute().auroc
