"""The verdicts image by image."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, fields, replace

from anomaly_diffusion.types import ImageBatch, ImageResult, Prediction

COLUMNS = tuple(field.name for field in fields(ImageResult))


def image_results(prediction: Prediction, batch: ImageBatch, seconds: float) -> list[ImageResult]:
    """One row for each image of a batch that took `seconds`."""
    rows = []
    for index, (path, kind) in enumerate(zip(batch.path, batch.kinds, strict=True)):
        values = prediction.anomaly_map[index][batch.valid[index]].float().cpu()
        label, score = bool(batch.label[index]), float(prediction.score[index])
        statistics = float(values.max()), float(values.mean()), float(values.quantile(0.99))
        share = float(batch.mask[index].sum()) / values.numel()
        rows.append(ImageResult(path, int(label), kind, share, score, *statistics, seconds / len(batch.path)))
    return rows


def unlabelled(rows: Iterable[ImageResult]) -> list[ImageResult]:
    """The rows of images about which nothing is known."""
    return [replace(row, label=None, kind="") for row in rows]


def as_csv(rows: Iterable[ImageResult]) -> str:
    """The rows under their column names."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows([COLUMNS, *map(astuple, rows)])
    return table.getvalue()
