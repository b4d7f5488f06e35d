"""`painted.csv`: how well each painted defect of a validation was found, written and read back."""

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from anomaly_diffusion import files

__all__ = ["PAINTED", "PaintedDefect", "as_csv", "read"]

PAINTED = "painted.csv"


class PaintedDefect(NamedTuple):
    """A painted defect of a validation; they stand in the order of the validation, which is that of every setting.

    Attributes:
        path: the photograph, relative to the root of the data set.
        family: what was painted.
        pixel_ap: average precision of the map's pixels; NaN where the frame does not show the defect.
    """

    path: str
    family: str
    pixel_ap: float


def as_csv(defects: Iterable[PaintedDefect]) -> str:
    """The defects as a table under their column names."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows([PaintedDefect._fields, *defects])
    return table.getvalue()


def read(folder: Path) -> list[PaintedDefect]:
    """The painted defects of the latest validation of a run or an evaluation.

    Raises:
        FileNotFoundError: it has none.
        ValueError: the file is no such table.
    """
    path = folder / PAINTED
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no {PAINTED}. Validate it: anomaly-diffusion validate --run_folder {folder}"
        )
    rows = files.read_table(path, PaintedDefect._fields)
    try:
        return [PaintedDefect(row["path"], row["family"], float(row["pixel_ap"] or math.nan)) for row in rows]
    except ValueError as error:
        raise ValueError(f"{path} has a pixel_ap that is no number: {error}. Validate the run again.") from None
