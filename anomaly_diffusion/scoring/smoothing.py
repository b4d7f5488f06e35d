"""Gaussian smoothing of maps."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.scoring.strips import by_strips

__all__ = ["GaussianSmoothing"]


class GaussianSmoothing(nn.Module):
    """Separable Gaussian filter, cut at three sigma; borders repeat the last pixel.

    Args:
        sigma: standard deviation in pixels, >= 0; 0 leaves the map as it is.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        if sigma < 0:
            raise ValueError(f"`sigma` must not be negative, got {sigma}.")
        self.radius = math.ceil(3 * sigma)
        place = torch.arange(-self.radius, self.radius + 1, dtype=torch.float64)
        weight = torch.exp(-0.5 * (place / sigma) ** 2) if sigma else torch.ones(1, dtype=torch.float64)
        self._weights: list[float] = (weight / weight.sum()).tolist()

    def forward(self, maps: Tensor) -> Tensor:
        """Smoothed maps, shaped like `maps` (B, C, H, W)."""
        if self.radius == 0:
            return maps
        return by_strips(lambda strip: self._along(-1, self._along(-2, strip)), self.radius, maps)

    def _along(self, axis: int, maps: Tensor) -> Tensor:
        """Smoothed along one axis, by weighted sums of shifted maps: on a CPU far faster than a convolution."""
        length = maps.shape[axis]
        ends = (self.radius, self.radius, 0, 0) if axis == -1 else (0, 0, self.radius, self.radius)
        padded = F.pad(maps, ends, mode="replicate")
        found = padded.narrow(axis, 0, length) * self._weights[0]
        for start, weight in enumerate(self._weights[1:], 1):
            found = found.add(padded.narrow(axis, start, length), alpha=weight)
        return found
