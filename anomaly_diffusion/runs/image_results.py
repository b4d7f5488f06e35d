"""The verdicts image by image."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

from anomaly_diffusion.types import ImageBatch, ImageResult, Prediction

COLUMNS = tuple(field.name for field in fields(ImageResult) if field.name != "measures")
_NAMING = ("path", "label", "kind")


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


def cells(result: ImageResult) -> list[object]:
    """The values of a line of `per_image.csv`, in the order of `COLUMNS`."""
    return [getattr(result, column) for column in COLUMNS]


def as_csv(rows: Iterable[ImageResult]) -> str:
    """The rows under their column names."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows([COLUMNS, *map(cells, rows)])
    return table.getvalue()


def from_line(line: Mapping[str, str]) -> ImageResult:
    """The result that a line of `per_image.csv` or `failures.csv` was; columns that are no fields are its measures."""
    numbers = {name: float(cell or "nan") for name, cell in line.items() if name not in _NAMING}
    known = {name: numbers.pop(name, float("nan")) for name in COLUMNS if name not in _NAMING}
    label = int(line["label"]) if line.get("label") else None
    return ImageResult(line.get("path", ""), label, line.get("kind", ""), **known, measures=numbers)
