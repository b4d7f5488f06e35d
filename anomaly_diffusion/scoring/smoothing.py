"""Gaussian smoothing of maps."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["GaussianSmoothing"]


class GaussianSmoothing(nn.Module):
    """Separable Gaussian filter, cut at three sigma; borders repeat the last pixel.

    Args:
        sigma: standard deviation in pixels, >= 0; 0 leaves the map as it is.
    """

    weight: Tensor

    def __init__(self, sigma: float) -> None:
        super().__init__()
        if sigma < 0:
            raise ValueError(f"`sigma` must not be negative, got {sigma}.")
        self.radius = math.ceil(3 * sigma)
        place = torch.arange(-self.radius, self.radius + 1, dtype=torch.float64)
        weight = torch.exp(-0.5 * (place / sigma) ** 2) if sigma else torch.ones(1, dtype=torch.float64)
        self.register_buffer("weight", (weight / weight.sum()).float(), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Smoothed maps, shaped like `maps` (B, C, H, W)."""
        if self.radius == 0:
            return maps
        return self._along(-1, self._along(-2, maps))

    def _along(self, axis: int, maps: Tensor) -> Tensor:
        """Smoothed along one axis, by weighted sums of shifted maps: on a CPU far faster than a convolution."""
        length = maps.shape[axis]
        ends = (self.radius, self.radius, 0, 0) if axis == -1 else (0, 0, self.radius, self.radius)
        padded = F.pad(maps, ends, mode="replicate")
        shifted = [padded.narrow(axis, start, length) for start in range(2 * self.radius + 1)]
        weights: list[float] = self.weight.tolist()
        found = shifted[self.radius] * weights[self.radius]
        for reach in range(1, self.radius + 1):
            pair = shifted[self.radius - reach] + shifted[self.radius + reach]
            found = found.add(pair, alpha=weights[self.radius + reach])
        return found
