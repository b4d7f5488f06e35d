"""What depth does: detection and fidelity at each depth of one checkpoint, and how much room for error it leaves."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from anomaly_diffusion.analysis.tables import FIGURES
from anomaly_diffusion.types import Images, Masks, Scores

__all__ = ["POINT", "RobustInterval", "as_csv", "psnr", "robust_interval", "ssim"]

POINT = 0.01  # what a figure may lose and still count as good as the best
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


def psnr(image: Images, reconstruction: Images, valid: Masks) -> Scores:
    """10 log10(4 / mean squared error) in dB over the pixels of the photograph; images lie in [-1, 1]."""
    inside = valid.expand_as(image)
    error = ((image - reconstruction).square() * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)
    return 10 * torch.log10(4 / error.clamp(min=1e-10))


def ssim(image: Images, reconstruction: Images, valid: Masks) -> Scores:
    """Structural similarity, windows of 7 pixels, mean over the pixels of the photograph.

    Reference: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, Eq. 13.
    """
    mean_x, mean_y = _window(image), _window(reconstruction)
    var_x, var_y = _window(image.square()) - mean_x**2, _window(reconstruction.square()) - mean_y**2
    covariance = _window(image * reconstruction) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 0.02**2) / (mean_x**2 + mean_y**2 + 0.02**2)
    structure = (2 * covariance + 0.06**2) / (var_x + var_y + 0.06**2)
    inside = valid.expand_as(image)
    return (luminance * structure * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)


def as_csv(depths: Sequence[float], figures: Sequence[dict[str, float]]) -> str:
    """One line per depth: detection, then fidelity on normal images."""
    table = io.StringIO(newline="")
    names = [*FIGURES, *_FIDELITY]
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


def _window(x: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(x, (3, 3, 3, 3), mode="reflect"), 7, stride=1)
