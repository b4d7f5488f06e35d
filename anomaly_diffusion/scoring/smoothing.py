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
        B, C, H, W = maps.shape
        rows = F.pad(maps.reshape(B * C, 1, H, W), (0, 0, self.radius, self.radius), mode="replicate")
        columns = F.pad(
            F.conv2d(rows, self.weight.view(1, 1, -1, 1)), (self.radius, self.radius, 0, 0), mode="replicate"
        )
        return F.conv2d(columns, self.weight.view(1, 1, 1, -1)).reshape(B, C, H, W)
