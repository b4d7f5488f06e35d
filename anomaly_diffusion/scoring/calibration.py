"""Calibration: mean and covariance of residuals on normal images; maps in standard deviations of normal."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import nnls
from torch import Tensor, nn

from anomaly_diffusion.networks.buffers import AnySize
from anomaly_diffusion.scoring.smoothing import GaussianSmoothing
from anomaly_diffusion.scoring.strips import strips
from anomaly_diffusion.types import Masks

__all__ = ["Calibration", "Moments", "moments"]

_PRIOR = 8.0  # images that the statistics of all positions count for at each of them
_TOGETHER = 2**20  # pixels whose residuals are in memory in float64
_RIDGE = 0.1  # how far correlations are drawn towards none: those of few images are larger than they seem


class Moments(NamedTuple):
    """Sums over the valid pixels of normal images, float64; both add up over batches and processes.

    Attributes:
        products: of (1, residuals) with itself, over all pixels.
        placed: of 1, residuals and their squares, at each pixel.
    """

    products: Float[Tensor, "1+M 1+M"]
    placed: Float[Tensor, "1+2*M H W"]

    def plus(self, other: "Moments") -> "Moments":
        """The sums over both.

        Raises:
            ValueError: images of several sizes have no positions in common.
        """
        if self.placed.shape != other.placed.shape:
            sizes = " and ".join("{} x {}".format(*one.placed.shape[-2:]) for one in (self, other))
            raise ValueError(
                f"`calibration_sigma` standardises each position, but photographs of {sizes} pixels have none in "
                "common. Give them one frame, `--data.tiles.frame`, or set `calibration_sigma: null`."
            )
        return Moments(self.products + other.products, self.placed + other.placed)

    def minus(self, other: "Moments") -> "Moments":
        """The sums without those of some of the images."""
        return Moments(self.products - other.products, self.placed - other.placed)


class Calibration(AnySize):
    """Mean and covariance of M residual maps over the pixels of held-out normal images.

    The covariance makes every fusion of maps a calibrated one: a weighted sum w of standardised maps has the standard
    deviation sqrt(w' R w) on normal images, with R their correlation.

    With a `calibration_sigma`, each position is standardised by the mean and deviation of its neighbourhood, in which
    the statistics of all positions count for eight images; R remains that of all pixels. A deviation is never taken to
    be less than `floor` times that of all positions: where few images have varied, the next one may, and that is no
    defect.

    Args:
        maps: M, the number of residual maps of an image.
        calibration_sigma: standard deviation of the neighbourhood in pixels; None: one mean and deviation for all
            positions.
        floor: least deviation of a neighbourhood, in those of all positions, in [0, 1].
    """

    of_any_size = ("placed",)
    count: Tensor
    mean: Tensor
    covariance: Tensor
    placed: Tensor

    def __init__(self, maps: int, calibration_sigma: float | None = None, floor: float = 1.0) -> None:
        super().__init__()
        self.floor = floor
        self.neighbourhood = None if calibration_sigma is None else GaussianSmoothing(calibration_sigma)
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(maps, dtype=torch.float64))
        self.register_buffer("covariance", torch.zeros(maps, maps, dtype=torch.float64))
        self.register_buffer("placed", torch.zeros(2, maps, 0, 0))  # mean and deviation at each pixel

    def no_moments(self, size: Sequence[int]) -> Moments:
        """Sums of `moments` over no image at all, of height and width `size`."""
        count = len(self.mean)
        return Moments(self.mean.new_zeros(1 + count, 1 + count), self.mean.new_zeros(1 + 2 * count, *size))

    def moments(self, residuals: Float[Tensor, "B M H W"], valid: Masks) -> Moments:
        """What it wants to know of normal images: sums at each pixel only where it looks at neighbourhoods."""
        return moments(residuals, valid, placed=self.neighbourhood is not None)

    @property
    def fitted(self) -> bool:
        """Whether statistics have been set."""
        return bool(self.count > 1)

    def fit(self, moments: Moments) -> None:
        """Set the statistics from summed `moments`."""
        products = moments.products
        self.count.copy_(products[0, 0])
        self.mean.copy_(products[0, 1:] / products[0, 0])
        self.covariance.copy_(products[1:, 1:] / products[0, 0] - torch.outer(self.mean, self.mean))
        if self.neighbourhood is not None:
            self.placed = self._of_neighbourhoods(moments.placed, self.neighbourhood).to(self.placed)

    def alike(self) -> "Calibration":
        """Another of the same settings, which knows no images."""
        other = Calibration(len(self.mean), floor=self.floor).to(self.mean.device)
        other.neighbourhood = self.neighbourhood
        return other

    def fitted_to(self, moments: Moments) -> "Calibration":
        """Another of the same settings, fitted to `moments`."""
        other = self.alike()
        other.fit(moments)
        return other

    def statistics(self, residuals: Float[Tensor, "B M H W"]) -> tuple[Float[Tensor, "M _ _"], Float[Tensor, "M _ _"]]:
        """Mean and standard deviation of each map on normal images, at each pixel or, (M, 1, 1), at all of them.

        Raises:
            ValueError: each position has statistics of its own, but of images of another size.
        """
        if self.neighbourhood is None:
            mean, std = (value.to(residuals)[:, None, None] for value in (self.mean, self._std))
        else:
            self._check(residuals)
            mean, std = self.placed
        return mean, std

    def fuse(self, standardised: Tensor, weights: Tensor) -> Tensor:
        """Weighted sums (B, F, H, W) of maps (B, M, H, W), of unit variance on normals; `weights` is (F, M)."""
        weights = weights.to(self._correlation)
        variance = torch.einsum("fm,mn,fn->f", weights, self._correlation, weights)
        unit = weights / variance.clamp(min=1e-12).sqrt()[:, None]
        return torch.einsum("fm,bmhw->bfhw", unit.to(standardised), standardised)

    def of_least_variance(self, chosen: Float[Tensor, "F M"]) -> Float[Tensor, "F M"]:
        """Weights, none negative, whose sum of standardised maps varies least on normal images.

        w = argmin w' R w,   sum(w) = 1,   w >= 0,   over the maps that `chosen` does not have as zero

        Of a defect that lifts all maps by as many standard deviations this is the best linear evidence, and maps that
        say the same count once: three of one kind do not outvote two of another.

        Reference: Markowitz, "Portfolio Selection", 1952, whose portfolio of least variance this is.

        Differs from the paper: maps in place of assets, all expected to gain alike; none is sold short; correlations
        are drawn a tenth of the way towards none.
        """
        correlation = self._correlation.cpu().numpy()
        rows = np.zeros(tuple(chosen.shape))
        for row, mask in zip(rows, chosen.cpu().numpy() > 0, strict=True):
            own = correlation[np.ix_(mask, mask)]
            own = (1 - _RIDGE) * own + _RIDGE * np.eye(len(own))
            # the sum of weights is one more equation: any weight of it has the same solution, but for a factor
            system = np.vstack([np.linalg.cholesky(own).T, np.ones(len(own))])
            found = nnls(system, np.append(np.zeros(len(own)), 1.0))[0]
            row[mask] = found / found.sum()
        return torch.from_numpy(rows)

    @property
    def _correlation(self) -> Tensor:
        return self.covariance / torch.outer(self._std, self._std)

    @property
    def _std(self) -> Tensor:
        return self.covariance.diagonal().clamp(min=1e-16).sqrt()

    def _of_neighbourhoods(self, placed: Tensor, neighbourhood: nn.Module) -> Tensor:
        """Mean and deviation (2, M, H, W) at each pixel, from sums (1 + 2 * M, H, W)."""
        count, total, square = placed[:1], *placed[1:].chunk(2)
        centre = self.mean[:, None, None]  # about zero, float32 would lose deviations far smaller than the mean
        centred = torch.cat([count, total - count * centre, square - 2 * total * centre + count * centre**2])
        overall = torch.cat([self.count.new_ones(1), torch.zeros_like(self.mean), self.covariance.diagonal()])
        near = neighbourhood(centred[None].float())[0].double() + _PRIOR * overall[:, None, None]
        mean, square = (near[1:] / near[:1]).chunk(2)
        std = torch.maximum((square - mean**2).clamp(min=1e-16).sqrt(), self.floor * self._std[:, None, None])
        return torch.stack([centre + mean, std])

    def _check(self, residuals: Tensor) -> None:
        if self.placed.shape[-2:] != residuals.shape[-2:]:
            known, given = ("{} x {}".format(*maps.shape[-2:]) for maps in (self.placed, residuals))
            raise ValueError(
                f"The calibration knows positions of {known} pixels, got {given}. Keep `image_size`, or validate again."
            )


def moments(residuals: Float[Tensor, "B M H W"], valid: Masks, placed: bool = True) -> Moments:
    """Sums over the valid pixels of residuals.

    Args:
        residuals: of normal images.
        valid: pixels that belong to the photographs.
        placed: whether sums at each pixel are wanted, too.
    """
    at_pixels = _placed(residuals, valid) if placed else residuals.new_zeros(1 + 2 * residuals.shape[1], 0, 0).double()
    height, width = residuals.shape[-2:]
    parts = strips(height, width, _TOGETHER)
    products = [_products(residuals[..., part, :], valid[..., part, :]) for part in parts]
    return Moments(products[0] if len(parts) == 1 else torch.stack(products).sum(0), at_pixels)


def _products(residuals: Float[Tensor, "B M H W"], valid: Masks) -> Float[Tensor, "1+M 1+M"]:
    columns = residuals.transpose(0, 1).flatten(1)[:, valid.flatten()].double()  # (M, pixels)
    columns = torch.cat([torch.ones_like(columns[:1]), columns])
    return columns @ columns.T


def _placed(residuals: Tensor, valid: Masks) -> Float[Tensor, "N H W"]:
    inside = valid.double()
    rows = torch.cat([torch.ones_like(inside), residuals.double()], dim=1) * inside
    return torch.cat([rows, rows[:, 1:].square()], dim=1).sum(0)
