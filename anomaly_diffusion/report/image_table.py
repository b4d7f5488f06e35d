"""Every test image of every run as one table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anomaly_diffusion.runs.run_results import RunResults

__all__ = ["Column", "ImageLine", "ImageTable", "image_table"]

MOST_LINES = 4000


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Args:
        name: in `per_image.csv` or `failures.csv`.
        head: what it is called.
        hint: what it means.
        digits: after the point.
    """

    name: str
    head: str
    hint: str
    digits: int = 3


COLUMNS = (
    Column("score", "score", "image anomaly score"),
    Column("defect_share", "defect, %", "defective pixels in percent of the image", 2),
    Column("map_max", "map max", "largest value of the anomaly map, in standard deviations", 2),
    Column("map_mean", "map mean", "mean of the anomaly map", 3),
    Column("map_p99", "map 99 %", "what 99 % of the map stays below", 2),
    Column("map_contrast", "marked", "mean of the map on the defect less that elsewhere", 2),
    Column("map_far", "false alarm", "largest value of the map far from any defect", 2),
    Column("ssim", "SSIM", "structural similarity of image and reconstruction on normal pixels"),
    Column("retained_fine", "fine power", "power kept of periods below 8 pixels", 2),
    Column("energy_contrast", "erased, dB", "energy of the difference on the defect against elsewhere", 1),
    Column("seconds", "seconds", "time this image took", 3),
)


@dataclass(frozen=True)
class ImageLine:
    """One image of one run.

    Args:
        run: number of the run.
        path: of the image.
        kind: "good" or the folder of a defective image.
        label: "good" or "defective"; nothing if nobody knows.
        verdict: "found", "missed", "false alarm", "passed"; nothing without a threshold.
        numbers: a cell for each column.
    """

    run: int
    path: str
    kind: str
    label: str
    verdict: str
    numbers: Sequence[str]


@dataclass(frozen=True)
class ImageTable:
    """Lines of all runs.

    Args:
        columns: those of which any image has a number.
        lines: run by run.
        total: how many there would be without a limit.
        judged: whether any line has a verdict.
    """

    columns: Sequence[Column]
    lines: Sequence[ImageLine]
    total: int
    judged: bool


def image_table(runs: Sequence[RunResults], most: int = MOST_LINES) -> ImageTable:
    """The images of all runs; of too many, evenly spaced ones of each run.

    Args:
        runs: in their order.
        most: lines that may be shown, at least the number of runs.
    """
    total = sum(len(run.images) for run in runs)
    room = most if total <= most else max(1, most // len(runs))
    rows = [(number, run, row) for number, run in enumerate(runs) for row in _spaced(run.images, room)]
    columns = [column for column in COLUMNS if any(_value(run, row, column) for _, run, row in rows)]
    lines = [_line(number, run, row, columns) for number, run, row in rows]
    return ImageTable(columns, lines, total, any(line.verdict for line in lines))


def _spaced(rows: Sequence[Mapping[str, str]], room: int) -> list[Mapping[str, str]]:
    count = min(room, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]


def _line(number: int, run: RunResults, row: Mapping[str, str], columns: Sequence[Column]) -> ImageLine:
    label = {"0": "good", "1": "defective"}.get(row.get("label", ""), "")
    numbers = [_cell(_value(run, row, column), column) for column in columns]
    return ImageLine(number, row["path"], row.get("kind", ""), label, _verdict(run, row), numbers)


def _value(run: RunResults, row: Mapping[str, str], column: Column) -> str:
    return row.get(column.name) or run.failures.get(row["path"], {}).get(column.name, "")


def _cell(value: str, column: Column) -> str:
    number = float(value or "nan") * (100 if column.name == "defect_share" else 1)
    return f"{number:.{column.digits}f}" if math.isfinite(number) else "-"


def _verdict(run: RunResults, row: Mapping[str, str]) -> str:
    if run.threshold is None or row.get("label") not in ("0", "1"):
        return ""
    return verdict(float(row["score"]) >= run.threshold, row["label"] == "1")


def verdict(above: bool, defective: bool) -> str:
    """What it means that a score lies above the threshold or not."""
    return ("found" if above else "missed") if defective else ("false alarm" if above else "passed")
