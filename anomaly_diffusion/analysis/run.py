"""A finished run, read from its folder alone."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from anomaly_diffusion.analysis.display import Picture, Table

__all__ = ["Run", "comparison"]


@dataclass(frozen=True)
class Run:
    """What a run or an evaluation has left behind.

    Args:
        folder: the run folder.
    """

    folder: Path

    def __repr__(self) -> str:
        return f"Run {self.folder.parent.name}/{self.folder.name}"

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of `summary.json`.

        Raises:
            FileNotFoundError: the run has not been tested.
        """
        content: dict[str, Any] = json.loads(self._file("summary.json").read_text(encoding="utf-8"))
        return content

    @cached_property
    def figures(self) -> dict[str, Any]:
        """All numbers of `summary.json` and `failures.json` by dotted names.

        For instance "pixel_ap", "controls.blurred_self.pixel_ap", "failures.normal.psnr.mean".

        Raises:
            FileNotFoundError: the run has not been tested.
        """
        found = dict(_flat(self.summary))
        failures = self.folder / "failures.json"
        if failures.is_file():
            found |= _flat(json.loads(failures.read_text(encoding="utf-8")), "failures.")
        return found

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The lines of a table of the run, "depths.csv" or "per_image.csv" say, numbers as numbers.

        Raises:
            FileNotFoundError: there is no such table.
            ValueError: it is no table.
        """
        path = self._file(name)
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is no table ({error}). Test the run again to write it anew.") from None
        if any(None in row or None in row.values() for row in rows):
            raise ValueError(f"{path} has lines of another length than its first. Test the run again to write it anew.")
        return [{key: _number(cell) for key, cell in row.items()} for row in rows]

    def picture(self, name: str, width: int = 900) -> Picture:
        """A picture of the run, "panels/test.png" say.

        Args:
            name: path within the run folder.
            width: what it is shrunk to if it is wider, in pixels.

        Raises:
            FileNotFoundError: there is no such picture.
        """
        return Picture(self._file(name).read_bytes(), width)

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if path.is_file():
            return path
        known = sorted(file.relative_to(self.folder).as_posix() for file in self.folder.rglob(f"*{path.suffix}"))
        raise FileNotFoundError(f"{self} holds no {name}. It holds: {', '.join(known) or 'no file of this kind'}.")


def comparison(runs: Mapping[str, Run], columns: Mapping[str, str], digits: int = 3) -> Table:
    """Runs side by side.

    Args:
        runs: by the name of their row.
        columns: heading of each column by the name of its figure (see `Run.figures`).
        digits: behind the point.
    """
    return Table({name: run.figures for name, run in runs.items()}, columns, digits)


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _number(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell
