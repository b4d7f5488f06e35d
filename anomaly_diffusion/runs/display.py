"""Pictures and tables that show themselves in a notebook; charts and sheets are drawn in `figures`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from anomaly_diffusion.runs.pairing import differences
from anomaly_diffusion.runs.record import Groups, RunRecord
from anomaly_diffusion.runs.tables import Grid, mean_and_std

__all__ = ["Picture", "Table", "comparison", "paired_comparison"]

_LARGE = 60_000  # bytes: a PNG above this is a photograph, which a JPEG holds in a fraction
_QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """A picture that a notebook shows in few bytes: charts as PNG, photographs as JPEG.

    Args:
        content: an encoded picture.
        width: what it is shrunk to if it is wider, in pixels, > 0.

    Raises:
        ValueError: `width` is not positive.
    """

    content: bytes
    width: int = 900

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"`width` must be positive, got {self.width}.")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, bytes | str]:
        """What Jupyter asks an object for."""
        picture = self._shrunk()
        encoded = bytes(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])
        if len(encoded) <= _LARGE:
            return {"image/png": encoded, "text/plain": repr(self)}
        jpeg = bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])
        return {"image/jpeg": jpeg, "text/plain": repr(self)}

    def __repr__(self) -> str:
        height, width = self._shrunk().shape[:2]
        return f"Picture of {width} x {height} pixels"

    def _shrunk(self) -> np.ndarray:
        picture: np.ndarray | None = cv2.imdecode(np.frombuffer(self.content, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError("`content` must be an encoded picture, got bytes that are none.")
        height, width = picture.shape[:2]
        if width <= self.width:
            return picture
        size = (self.width, round(height * self.width / width))
        smaller: np.ndarray = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return smaller


class Table:
    """A small table that a notebook shows.

    Args:
        rows: cells of each row by the key of their column; what is absent is shown as a dash.
        columns: heading of each column by its key.
        digits: of numbers behind the point.
    """

    def __init__(self, rows: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str], digits: int = 3) -> None:
        self.rows, self.columns, self.digits = rows, columns, digits

    def _repr_markdown_(self) -> str:
        """What Jupyter asks an object for."""
        rows = [[name, *self._cells(row)] for name, row in self.rows.items()]
        return Grid(["", *self.columns.values()], rows, quiet=frozenset(range(len(rows)))).markdown().rstrip("\n")

    __repr__ = _repr_markdown_

    def _cells(self, row: Mapping[str, Any]) -> Sequence[str]:
        return [self._cell(row.get(key)) for key in self.columns]

    def _cell(self, value: Any) -> str:
        if value is None or value != value:
            return "-"
        return f"{value:.{self.digits}f}" if isinstance(value, float) else str(value)


def comparison(runs: Mapping[str, RunRecord], columns: Mapping[str, str], digits: int = 3) -> Table:
    """Runs side by side.

    Args:
        runs: by the name of their row.
        columns: heading of each column by the name of its figure (see `RunRecord.figures`).
        digits: behind the point.
    """
    return Table({name: run.figures for name, run in runs.items()}, columns, digits)


def paired_comparison(groups: Groups, columns: Mapping[str, str], baseline: str, digits: int = 3) -> Table:
    """Groups of runs side by side, and how far their image AUROC is from that of a baseline on the same test images.

    Args:
        groups: runs that differ in their seed only, by the name of their row.
        columns: heading of each column by the name of its figure (see `RunRecord.figures`), whose mean over runs is
            shown with its standard deviation.
        baseline: name of a group.
        digits: behind the point.

    Raises:
        ValueError: there is no such group, or runs cannot be paired.
    """
    found = differences(groups, baseline)
    rows: dict[str, dict[str, Any]] = {}
    for name, runs in groups.items():
        rows[name] = {key: mean_and_std([run.figures.get(key) for run in runs], digits) for key in columns}
        if name in found:
            rows[name] |= {"difference": f"{found[name].mean:+.{digits}f}", "interval": found[name].interval}
    pairing = {"difference": f"image AUROC less that of {baseline}", "interval": "95 % interval"}
    return Table(rows, {**columns, **pairing}, digits)
