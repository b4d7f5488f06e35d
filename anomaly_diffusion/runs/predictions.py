"""`predictions.csv`, or JSON lines, written as photographs are judged: what a kill leaves is whole lines."""

import csv
import io
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from anomaly_diffusion import files
from anomaly_diffusion.runs.image_results import COLUMNS, cells
from anomaly_diffusion.verdict_records import ImageResult

__all__ = ["JSON_LINES", "Predictions", "as_json", "drop_half_a_line", "note_unjudged"]

JSON_LINES = ".jsonl"


class Predictions:
    """Writes one result after the other into a table, each at once.

    Args:
        output: a CSV file, or one of JSON lines if its name ends in `.jsonl`; a stream instead of a file gets CSV, or
            JSON lines if `json_lines` is set.
        json_lines: see above.

    Raises:
        OSError: the file cannot be written.
        ValueError: there is such a file, but it is no table of this kind.
    """

    def __init__(self, output: Path | TextIO, json_lines: bool = False) -> None:
        self._json = json_lines or (isinstance(output, Path) and output.suffix == JSON_LINES)
        self.path = output if isinstance(output, Path) else None
        self.done: set[str] = set()
        if isinstance(output, Path):
            output.parent.mkdir(parents=True, exist_ok=True)
            drop_half_a_line(output)
            self.done = _judged(output, self._json)
            self._stream: TextIO = output.open("a", encoding="utf-8", newline="")
        else:
            self._stream = output
        if not self._json and not self.done:
            self._put(_csv(COLUMNS) if self.path is None or not self.path.stat().st_size else "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a stream stays open."""
        if self.path is not None:
            self._stream.close()

    def write(self, result: ImageResult) -> None:
        """Append a result.

        Raises:
            OSError: the disk is full; what was written before is whole.
        """
        self._put(json.dumps(as_json(result)) + "\n" if self._json else _csv(cells(result)))
        self.done.add(result.path)

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}; results before are whole", str(self.path)) from None


def note_unjudged(path: Path, name: str, problem: str) -> None:
    """Append a file that could not be judged to a table of them, with what is wrong.

    Raises:
        OSError: the table cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "" if path.is_file() else _csv(("path", "problem"))
    with path.open("a", encoding="utf-8", newline="") as stream:
        stream.write(head + _csv((name, problem)))


def as_json(result: ImageResult) -> dict[str, Any]:
    """A result under the names of the columns of `predictions.csv`, regions and peak as lists."""
    row: dict[str, Any] = dict(zip(COLUMNS, cells(result), strict=True))
    said = result.verdict
    row["regions"] = json.loads(row["regions"] or "[]")
    row["peak"] = list(said.peak) if said is not None else None
    known: dict[str, Any] = files.finite({name: None if value == "" else value for name, value in row.items()})
    return known


def _csv(row: Any) -> str:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(row)
    return line.getvalue()


def _judged(path: Path, json_lines: bool) -> set[str]:
    """Paths of the photographs in a table."""
    if not path.is_file():
        return set()
    if not json_lines:
        return {row["path"] for row in files.read_table(path, COLUMNS)}
    try:
        return {str(json.loads(line)["path"]) for line in path.read_text(encoding="utf-8").splitlines()}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} holds no predictions in JSON lines. Name another file.") from None


def drop_half_a_line(path: Path) -> None:
    """Cut off what a kill has left of the last line."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
