"""`painted.csv`: how well each painted defect of a validation was found, written and read back."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from anomaly_diffusion import files

__all__ = ["PAINTED", "PaintedDefect", "as_csv", "copying", "mean_at_depths", "read"]

PAINTED = "painted.csv"
_COPIED = 0.5  # share of a defect that is kept


class PaintedDefect(NamedTuple):
    """A painted defect of a validation; they stand in the order of the validation, which is that of every setting.

    Attributes:
        path: the photograph, relative to the root of the data set.
        family: what was painted.
        pixel_ap: average precision of the map's pixels; NaN where the frame does not show the defect.
        kept: share of it that the reconstruction of each depth keeps, `fidelity.kept_share`; nothing where no
            photographs are reconstructed.
        at_depths: the same average precision of the map of each depth by itself; nothing in runs of before.
    """

    path: str
    family: str
    pixel_ap: float
    kept: tuple[float, ...] = ()
    at_depths: tuple[float, ...] = ()

    @property
    def copied(self) -> tuple[bool, ...]:
        """Whether the reconstruction of each depth keeps more than half of it."""
        return tuple(share > _COPIED for share in self.kept)


def as_csv(defects: Iterable[PaintedDefect]) -> str:
    """The defects as a table under their column names, figures of several depths side by side in one cell."""
    rows = [[*one[:3], _cell(one.kept), _cell(one.at_depths)] for one in defects]
    table = io.StringIO(newline="")
    csv.writer(table).writerows([PaintedDefect._fields, *rows])
    return table.getvalue()


def _cell(figures: Sequence[float]) -> str:
    return " ".join(f"{figure:.4g}" for figure in figures)


def mean_at_depths(defects: Sequence[PaintedDefect], depths: int) -> list[float]:
    """Mean pixel AP of the defects by the map of each depth alone, by which a depth may be chosen; empty if unknown.

    Args:
        defects: of a validation; those that no frame shows are left out.
        depths: how many there are.
    """
    known = [one.at_depths for one in defects if len(one.at_depths) == depths and not math.isnan(one.pixel_ap)]
    return [fmean(column) for column in zip(*known, strict=True)]


def copying(defects: Sequence[PaintedDefect], depths: Sequence[float]) -> list[tuple[float, int, int]]:
    """Each depth, how many of the defects its reconstructions copy, and of how many that is known."""
    known = [one for one in defects if len(one.kept) == len(depths) and not any(map(math.isnan, one.kept))]
    return [(depth, sum(one.copied[place] for one in known), len(known)) for place, depth in enumerate(depths) if known]


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
    rows = files.read_table(path, ("path", "family", "pixel_ap"))
    try:
        return [
            PaintedDefect(
                row["path"],
                row["family"],
                float(row["pixel_ap"] or math.nan),
                *(tuple(map(float, row.get(name, "").split())) for name in ("kept", "at_depths")),
            )
            for row in rows
        ]
    except ValueError as error:
        raise ValueError(f"{path} has a figure that is no number: {error}. Validate the run again.") from None
