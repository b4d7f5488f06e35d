"""What several processes find, in parts of their own until all is found: tables of a prediction, verdicts of a test."""

import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from anomaly_diffusion import files
from anomaly_diffusion.runs import image_results
from anomaly_diffusion.runs.predictions import Predictions, drop_half_a_line
from anomaly_diffusion.types import ImageResult

__all__ = ["TABLE", "joined", "part", "told", "verdicts"]

TABLE = "predictions.csv"
_PARTS = "parts"


def part(folder: Path, rank: int, go_on: bool) -> Predictions:
    """Open the part of a process.

    Args:
        folder: where the table will be.
        rank: number of the process.
        go_on: whether to append to what is there from a process that was killed, or to begin anew.
    """
    path = folder / _PARTS / f"{rank}.csv"
    if not go_on:
        path.unlink(missing_ok=True)
    return Predictions(path)


def verdicts(folder: Path) -> Path:
    """Where a test keeps its verdicts while it lasts, a file for each photograph."""
    return folder / _PARTS / "verdicts"


def told(folder: Path) -> dict[str, ImageResult]:
    """What was told before, by the names of photographs, in the table and in parts; to be asked before any is opened.

    A last line of which a kill has left a half does not count.

    Raises:
        ValueError: a file is no table of predictions.
    """
    found: dict[str, ImageResult] = {}
    for path in [*sorted((folder / _PARTS).glob("*.csv")), folder / TABLE]:
        with suppress(FileNotFoundError):  # another process has joined the parts, into the table that is read last
            drop_half_a_line(path)
            found |= {result.path: result for result in image_results.read(path)}
    return found


def joined(folder: Path, results: Iterable[ImageResult], order: Sequence[str]) -> list[ImageResult]:
    """Write the table, each photograph once, and remove the parts; return the results in their order.

    Args:
        folder: where the table goes.
        results: of all photographs.
        order: their names; one that is not among them comes last.
    """
    once = {result.path: result for result in results}
    places = {name: place for place, name in enumerate(order)}
    rows = sorted(once.values(), key=lambda result: places.get(result.path, len(places)))
    files.write(folder / TABLE, image_results.as_csv(rows))
    shutil.rmtree(folder / _PARTS, ignore_errors=True)
    return rows
