"""A finished run, read from its folder alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.figures.display import Picture, Table

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
        return files.read_mapping(self._file("summary.json"))

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
            found |= _flat(files.read_mapping(failures), "failures.")
        return found

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The lines of a table of the run, "depths.csv" or "per_image.csv" say, numbers as numbers.

        Raises:
            FileNotFoundError: there is no such table.
            ValueError: it is no table.
        """
        rows = files.read_table(self._file(name))
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
