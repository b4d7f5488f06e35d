"""`painted.csv`: how well each painted defect of a validation was found, written and read back."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from anomaly_diffusion import files

__all__ = ["PAINTED", "PaintedDefect", "as_csv", "copying", "read"]

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
    """

    path: str
    family: str
    pixel_ap: float
    kept: tuple[float, ...] = ()

    @property
    def copied(self) -> tuple[bool, ...]:
        """Whether the reconstruction of each depth keeps more than half of it."""
        return tuple(share > _COPIED for share in self.kept)


def as_csv(defects: Iterable[PaintedDefect]) -> str:
    """The defects as a table under their column names, shares of several depths side by side in one cell."""
    rows = [one._replace(kept=" ".join(f"{share:.4g}" for share in one.kept)) for one in defects]  # type: ignore[arg-type]
    table = io.StringIO(newline="")
    csv.writer(table).writerows([PaintedDefect._fields, *rows])
    return table.getvalue()


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
                tuple(map(float, row.get("kept", "").split())),
            )
            for row in rows
        ]
    except ValueError as error:
        raise ValueError(f"{path} has a figure that is no number: {error}. Validate the run again.") from None
