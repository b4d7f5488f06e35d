"""`per_image.csv` and `predictions.csv`: what was found image by image, measured, written and read back."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomaly_diffusion import files
from anomaly_diffusion.verdict_records import AnomalousRegion, ImageResult, Verdict

if TYPE_CHECKING:
    from anomaly_diffusion.types import ImageBatch, Prediction

__all__ = ["COLUMNS", "as_csv", "cells", "from_row", "image_results", "read", "unlabelled"]

_OF_VERDICT = ("verdict", "outcome", "p_value", "limit", "drift", "peak", "in_place", "regions")
_OF_IMAGE = tuple(field.name for field in fields(ImageResult) if field.name not in ("measures", "verdict"))
COLUMNS = (*_OF_IMAGE, *_OF_VERDICT)
_NUMBERS = ("defect_share", "map_max", "map_mean", "map_p99", "seconds")
_PLACES = {True: "yes", False: "no", None: ""}
_LABELS = {"0": 0, "1": 1, "False": 0, "True": 1}  # as CSV and JSON have them


def image_results(
    prediction: "Prediction", batch: "ImageBatch", seconds: float, verdicts: Sequence[Verdict | None] | None = None
) -> list[ImageResult]:
    """One result for each image of a batch.

    Args:
        prediction: of the detector.
        batch: the images.
        seconds: that it took.
        verdicts: on each of them, if any limit is known.
    """
    results = []
    verdicts = verdicts or [None] * len(batch.path)
    for index, (path, kind, category) in enumerate(zip(batch.path, batch.kinds, batch.shows, strict=True)):
        values = prediction.anomaly_map[index][batch.valid[index]].float().cpu()
        label, score = bool(batch.label[index]), float(prediction.score[index])
        statistics = float(values.max()), float(values.mean()), float(values.quantile(0.99))
        share = float(batch.mask[index].sum()) / values.numel()
        took, verdict = seconds / len(batch.path), verdicts[index]
        results.append(ImageResult(path, int(label), kind, share, score, *statistics, took, category, verdict=verdict))
    return results


def unlabelled(results: Iterable[ImageResult]) -> list[ImageResult]:
    """The results of images about which nothing is known."""
    return [replace(result, label=None, kind="") for result in results]


def cells(result: ImageResult) -> tuple[Any, ...]:
    """Its values in the order of `COLUMNS`; empty ones without a verdict."""
    values = tuple(getattr(result, name) for name in _OF_IMAGE)
    said = result.verdict
    if said is None:
        return values + ("",) * len(_OF_VERDICT)
    regions = json.dumps([_region_cells(region) for region in said.regions]) if said.regions else ""
    place = _PLACES[said.in_place]
    peak = "{} {}".format(*said.peak)
    return (*values, result.word, result.outcome, said.p_value, said.limit, said.drift, peak, place, regions)


def _region_cells(region: AnomalousRegion) -> dict[str, float]:
    return {name: round(value, 6) for name, value in region._asdict().items()}


def as_csv(results: Iterable[ImageResult]) -> str:
    """The results as a table under their column names."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows([COLUMNS, *map(cells, results)])
    return table.getvalue()


def read(path: Path) -> list[ImageResult]:
    """The results in a `per_image.csv`, or in a `failures.csv`, whose further columns become `measures`.

    Raises:
        ValueError: it is no table, lacks a column without which it says nothing, or holds a word for a number.
    """
    return [from_row(row, path) for row in files.read_table(path, ["path", "label", "score"])]


def from_row(row: Mapping[str, Any], path: Path) -> ImageResult:
    """The result that a row describes; NaN and None for what it leaves open.

    Args:
        row: at least a path, a label and a score.
        path: of the file, for the message.

    Raises:
        ValueError: something is missing, or is no number.
    """
    if absent := [name for name in ("path", "label", "score") if name not in row]:
        raise ValueError(f"{path} has an image without {', '.join(absent)}. Test the run again to write it anew.")
    numbers = {name: _known(row.get(name), name, path) for name in _NUMBERS}
    measures = {name: _known(cell, name, path) for name, cell in row.items() if name not in COLUMNS}
    score = math.nan if row["score"] is None else _number(row["score"], "score", path)
    label, kind, category = _LABELS.get(str(row["label"])), str(row.get("kind") or ""), str(row.get("category") or "")
    said = _verdict(row, path)
    return ImageResult(
        str(row["path"]), label, kind, score=score, **numbers, category=category, measures=measures, verdict=said
    )


def _verdict(row: Mapping[str, Any], path: Path) -> Verdict | None:
    """None where the row has none: of a run whose limits were not known."""
    if row.get("verdict") not in ("defective", "normal"):
        return None
    try:
        regions = tuple(AnomalousRegion(**region) for region in json.loads(row.get("regions") or "[]"))
        x, y = map(int, (row.get("peak") or "0 0").split())
    except (TypeError, ValueError):
        raise ValueError(f"{path} has regions or a peak that cannot be read. Test the run again.") from None
    place = {word: value for value, word in _PLACES.items()}.get(str(row.get("in_place") or ""))
    p_value, limit = (_known(row.get(name), name, path) for name in ("p_value", "limit"))
    return Verdict(p_value, limit, row["verdict"] == "defective", str(row.get("drift") or ""), regions, (x, y), place)


def _known(cell: Any, name: str, path: Path) -> float:
    """The number; NaN where the cell is empty."""
    return math.nan if cell in (None, "") else _number(cell, name, path)


def _number(cell: Any, name: str, path: Path) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise ValueError(f"{path} has a {name} that is no number: {cell!r}. Test the run again.") from None
