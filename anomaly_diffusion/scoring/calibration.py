"""What residuals look like on healthy images, so that maps can be read in standard deviations of normal."""

import torch
from torch import Tensor, nn

from anomaly_diffusion.types import Masks

__all__ = ["Calibration", "moments"]


class Calibration(nn.Module):
    """Mean and covariance of M residual maps over the pixels of held-out normal images.

    The covariance makes every fusion of maps a calibrated one: a weighted sum w of standardised maps has the standard
    deviation sqrt(w' R w) on normal images, with R their correlation.

    Args:
        maps: M, the number of residual maps of an image.
    """

    count: Tensor
    mean: Tensor
    covariance: Tensor

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(maps, dtype=torch.float64))
        self.register_buffer("covariance", torch.zeros(maps, maps, dtype=torch.float64))

    def no_moments(self) -> Tensor:
        """A sum of `moments` over nothing."""
        return self.covariance.new_zeros(len(self.mean) + 1, len(self.mean) + 1)

    @property
    def fitted(self) -> bool:
        """Whether statistics have been set."""
        return bool(self.count > 1)

    def fit(self, moments: Tensor) -> None:
        """Set the statistics from summed `moments` (1 + M, 1 + M), see `moments`."""
        self.count.copy_(moments[0, 0])
        self.mean.copy_(moments[0, 1:] / moments[0, 0])
        self.covariance.copy_(moments[1:, 1:] / moments[0, 0] - torch.outer(self.mean, self.mean))

    def standardise(self, residuals: Tensor) -> Tensor:
        """Residuals (B, M, H, W) in standard deviations of normal."""
        spread = self.covariance.diagonal().clamp(min=1e-16).sqrt()
        return (residuals - self.mean.to(residuals)[:, None, None]) / spread.to(residuals)[:, None, None]

    def fuse(self, standardised: Tensor, weights: Tensor) -> Tensor:
        """Weighted sums (B, F, H, W) of maps (B, M, H, W), of unit variance on normals; `weights` is (F, M)."""
        spread = self.covariance.diagonal().clamp(min=1e-16).sqrt()
        correlation = self.covariance / torch.outer(spread, spread)
        weights = weights.to(correlation)
        variance = torch.einsum("fm,mn,fn->f", weights, correlation, weights)
        unit = weights / variance.clamp(min=1e-12).sqrt()[:, None]
        return torch.einsum("fm,bmhw->bfhw", unit.to(standardised), standardised)


def moments(residuals: Tensor, valid: Masks) -> Tensor:
    """Sums of products of (1, residuals) over valid pixels, (1 + M, 1 + M); they add up over batches and processes."""
    columns = residuals.transpose(0, 1).flatten(1)[:, valid.flatten()].double()  # (M, pixels)
    columns = torch.cat([torch.ones_like(columns[:1]), columns])
    return columns @ columns.T
