"""What depth does: detection and fidelity at each depth of one checkpoint, and how much room for error it leaves."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly_diffusion.names import FIGURES

__all__ = ["CHOSEN_BY", "POINT", "RobustInterval", "as_csv", "robust_interval"]

POINT = 0.01  # what a figure may lose and still count as good as the best
CHOSEN_BY = "val_pixel_ap"  # mean pixel AP of the validation's painted defects
_FIDELITY = ("psnr", "ssim")


@dataclass(frozen=True)
class RobustInterval:
    """The depths around the best one at which a figure is within a point of it.

    Args:
        best: depth of the largest figure.
        low: where the figure, interpolated over log depth, falls a point below the best; or the shallowest depth.
        high: the same towards deeper depths.
    """

    best: float
    low: float
    high: float

    @property
    def octaves(self) -> float:
        """Width in doublings of depth: how wrongly depth may be chosen."""
        return math.log2(self.high / self.low)

    def __str__(self) -> str:
        return f"{self.low:.3g} to {self.high:.3g} ({self.octaves:.1f} octaves), best at {self.best:.3g}"


def robust_interval(depths: Sequence[float], figures: Sequence[float], tolerance: float = POINT) -> RobustInterval:
    """The connected interval of depths around the best one that stays within `tolerance` of it.

    Args:
        depths: rising, > 0, at least one.
        figures: the larger, the better; NaN counts as worst.
        tolerance: what may be lost, >= 0.
    """
    values = np.nan_to_num(np.asarray(figures, dtype=float), nan=-np.inf)
    best = int(values.argmax())
    floor = values[best] - tolerance
    low = _edge(depths[: best + 1][::-1], values[: best + 1][::-1], floor)
    return RobustInterval(depths[best], low, _edge(depths[best:], values[best:], floor))


def as_csv(depths: Sequence[float], figures: Sequence[dict[str, float]]) -> str:
    """One line per depth: detection, fidelity on normal images, and what validation says of it, where it does."""
    table = io.StringIO(newline="")
    names = [*FIGURES, *_FIDELITY, *([CHOSEN_BY] if any(CHOSEN_BY in row for row in figures) else [])]
    rows = [[depth, *(row.get(name, "") for name in names)] for depth, row in zip(depths, figures, strict=True)]
    csv.writer(table).writerows([["depth", *names], *rows])
    return table.getvalue()


def _edge(depths: Sequence[float], values: np.ndarray, floor: float) -> float:
    """Walk away from the best depth to where the figure crosses `floor`."""
    for place in range(1, len(depths)):
        if values[place] < floor:
            fall = values[place - 1] - values[place]
            share = (values[place - 1] - floor) / fall if math.isfinite(fall) else 0.0
            return float(depths[place - 1] * (depths[place] / depths[place - 1]) ** share)
    return float(depths[-1])
