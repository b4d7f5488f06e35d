"""Differences measured by how healthy images differ from their reconstructions."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.scoring.any_size import AnySize
from anomaly_diffusion.scoring.residual import Residual
from anomaly_diffusion.types import Encoded, Masks

__all__ = ["MahalanobisResidual", "PositionGaussian"]


class MahalanobisResidual(Residual, AnySize):
    r"""Distance of a difference from those of healthy images, in standard deviations per channel.

    d = sqrt((r - mean)' S^-1 (r - mean) / C),   r = image - reconstruction

    with a mean and a covariance S of its own for each depth and, unless turned off, each position. Where a position has
    seen n healthy images, its moments count n times and those of all positions together `prior` times, so that few
    images do no harm.

    Reference: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", 2021, Eq. 1 and 2, which is this
    residual of a constant reconstruction.

    Args:
        per_position: whether each position has statistics of its own; right for objects that always lie alike.
        full: whether channels are known to be correlated; otherwise each has but its variance.
        prior: weight of the statistics of all positions, in images, >= 0.
        floor: share of the mean variance that is added to every variance, > 0: no direction is free of noise, and one
            that healthy images hardly ever take must not decide alone.

    Raises:
        ValueError: `prior` is negative, or `floor` not positive.
    """

    learns = True
    of_any_size = ("mean", "whitening")
    mean: Tensor
    whitening: Tensor

    def __init__(self, per_position: bool = True, full: bool = True, prior: float = 50.0, floor: float = 1e-3) -> None:
        super().__init__()
        if prior < 0:
            raise ValueError(f"`prior` must not be negative, got {prior}.")
        if floor <= 0:
            raise ValueError(f"`floor` must be positive, got {floor}.")
        self.per_position, self.full, self.prior, self.floor = per_position, full, prior, floor
        self.register_buffer("mean", torch.empty(0))  # (D, P, C) with P positions, or one
        self.register_buffer("whitening", torch.empty(0))  # (D, P, C, C)

    def moments(
        self, reference: Encoded, healthy: Float[Tensor, "B D c h w"], valid: Masks, keys: Sequence[int] = ()
    ) -> Tensor:
        """Sums of products of (1, difference) over valid positions, (D, P, 1 + C, 1 + C); they add up over batches."""
        rows = _rows(reference[:, None] - healthy)  # (D, P, B, C)
        coarse = F.interpolate(valid.to(rows), size=healthy.shape[-2:], mode="area")
        inside = coarse.flatten(1).T[None, :, :, None]  # (1, P, B, 1)
        rows = torch.cat([torch.ones_like(rows[..., :1]), rows], dim=-1)
        products: Tensor = (rows * (inside > 0.5)).transpose(-1, -2) @ rows
        return products if self.per_position else products.sum(1, keepdim=True)

    def fit(self, moments: Tensor) -> None:
        """Set the statistics from summed `moments`.

        Raises:
            ValueError: there are fewer than two images.
        """
        moments = moments.double()
        overall = moments.sum(1, keepdim=True)
        if overall[0, 0, 0, 0] < 2:
            raise ValueError("No healthy image to learn differences from.")
        mixed = moments + self.prior * overall / overall[..., :1, :1]
        mixed = mixed / mixed[..., :1, :1]
        mean = mixed[..., 0, 1:]
        covariance = mixed[..., 1:, 1:] - mean[..., :, None] * mean[..., None, :]
        if not self.full:
            covariance = torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1))
        root = self.inverse_root(covariance, moments[..., :1, :1])
        self.mean, self.whitening = mean.float(), root.float()

    def inverse_root(self, covariance: Tensor, count: Tensor) -> Tensor:
        """W, with |W (r - mean)|^2 / C the squared distance, of covariances (D, P, C, C) of so many images."""
        least = covariance.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-12) * self.floor
        return _inverse_root(covariance, least[..., None, None])

    def maps(self, reference: Encoded, healthy: Float[Tensor, "B D c h w"]) -> Float[Tensor, "B D h w"]:
        """Distances of each depth.

        Raises:
            RuntimeError: nothing has been learnt.
            ValueError: there are other positions than those learnt.
        """
        rows = _rows(reference[:, None] - healthy)
        self._check(rows)
        white = (rows - self.mean[:, :, None]) @ self.whitening.transpose(-1, -2)  # (D, P, B, C)
        distance: Tensor = white.square().mean(-1).sqrt()
        maps: Tensor = distance.permute(2, 0, 1).unflatten(2, healthy.shape[-2:])
        return maps

    def _check(self, rows: Tensor) -> None:
        if self.mean.numel() == 0:
            raise RuntimeError("The residual has learnt nothing yet. Validate the detector once.")
        depths, positions = self.mean.shape[:2]
        if rows.shape[0] != depths or positions not in (1, rows.shape[1]):
            raise ValueError(
                f"Statistics are known for {depths} depths and {positions} positions, got {rows.shape[0]} and "
                f"{rows.shape[1]}. Keep `image_size` and the depths, or validate the detector again."
            )


class PositionGaussian(MahalanobisResidual):
    r"""Distance of features from the mean of their position, as PaDiM takes it.

    d = sqrt((x - mean)' (S + ridge * I)^-1 (x - mean)),   S = sum (x - mean) (x - mean)' / (n - 1)

    Reference: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", 2021, Eq. 1 and 2, with epsilon 0.01.

    Args:
        ridge: what is added to the variance of each channel, > 0, in the unit of features.

    Raises:
        ValueError: `ridge` is not positive.
    """

    def __init__(self, ridge: float = 0.01) -> None:
        if not ridge > 0:
            raise ValueError(f"`ridge` must be positive, got {ridge}.")
        super().__init__(prior=0.0)
        self.ridge = ridge

    def inverse_root(self, covariance: Tensor, count: Tensor) -> Tensor:
        """W, with |W (x - mean)|^2 / C the squared distance, of covariances (D, P, C, C) of so many images."""
        unbiased = covariance * (count / (count - 1).clamp(min=1))
        ridge = torch.full_like(covariance[..., :1, :1], self.ridge)
        root: Tensor = covariance.shape[-1] ** 0.5 * _inverse_root(unbiased, ridge)
        return root


def _rows(difference: Float[Tensor, "B D C h w"]) -> Float[Tensor, "D P B C"]:
    return difference.flatten(3).permute(1, 3, 0, 2)


def _inverse_root(covariance: Tensor, ridge: Tensor) -> Tensor:
    """A matrix W with W (S + ridge) W' = 1."""
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    root = torch.linalg.cholesky(covariance + ridge * identity)
    inverse: Tensor = torch.linalg.solve_triangular(root, identity.expand_as(root), upper=False)
    return inverse
