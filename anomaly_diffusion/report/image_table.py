"""Every test image of every run as one table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from anomaly_diffusion.runs.record import RunRecord
from anomaly_diffusion.types import ImageResult

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
        result: what was found in it.
        verdict: `ImageResult.outcome`.
        numbers: a cell for each column.
    """

    run: int
    result: ImageResult
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


def image_table(runs: Sequence[RunRecord], most: int = MOST_LINES) -> ImageTable:
    """The images of all runs; of too many, evenly spaced ones of each run.

    Args:
        runs: in their order.
        most: lines that may be shown, at least the number of runs.
    """
    total = sum(len(run.results) for run in runs)
    room = most if total <= most else max(1, most // len(runs))
    results = [(number, run, result) for number, run in enumerate(runs) for result in _spaced(run.results, room)]
    columns = [column for column in COLUMNS if any(_known(run, result, column) for _, run, result in results)]
    lines = [
        ImageLine(number, result, result.outcome, [_cell(run, result, column) for column in columns])
        for number, run, result in results
    ]
    return ImageTable(columns, lines, total, any(line.verdict for line in lines))


def _spaced(results: Sequence[ImageResult], room: int) -> list[ImageResult]:
    count = min(room, len(results))
    return [results[place * len(results) // count] for place in range(count)]


def _cell(run: RunRecord, result: ImageResult, column: Column) -> str:
    number = _number(run, result, column) * (100 if column.name == "defect_share" else 1)
    return f"{number:.{column.digits}f}" if math.isfinite(number) else "-"


def _known(run: RunRecord, result: ImageResult, column: Column) -> bool:
    return not math.isnan(_number(run, result, column))


def _number(run: RunRecord, result: ImageResult, column: Column) -> float:
    """What `per_image.csv` says of the image, or else `failures.csv`."""
    number = result.number(column.name)
    return run.measured.get(result.path, result).number(column.name) if math.isnan(number) else number
