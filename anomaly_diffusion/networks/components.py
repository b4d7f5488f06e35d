"""Principal components of channels, from sums of their products."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Components", "principal_components", "products"]


class Components(NamedTuple):
    """The leading principal components of C channels.

    Attributes:
        mean: of each channel.
        projection: from centred channels to components.
        std: of each component, after the projection.
        explained: share of the variance of all channels that the components hold.
    """

    mean: Float[Tensor, " C"]
    projection: Float[Tensor, "K C"]
    std: Float[Tensor, " K"]
    explained: Tensor


def products(channels: Float[Tensor, "C N"]) -> Float[Tensor, "1+C 1+C"]:
    """Sums of products of (1, channels) over N positions, float64; they add up over batches."""
    rows = torch.cat([torch.ones_like(channels[:1]), channels]).double()
    return rows @ rows.T


def principal_components(products: Float[Tensor, "_ _"], components: int, whiten: bool = True) -> Components:
    """Components of the correlation, each of unit variance; not whitened, of the covariance, with their variance.

    Of the correlation, no channel counts for more because its numbers are larger.

    Args:
        products: sums of products of (1, channels), (1 + C, 1 + C).
        components: K, at most C, and less than the number of positions.
        whiten: whether components are scaled to unit variance.
    """
    count, total = products[0, 0], products[0, 1:]
    mean = total / count
    covariance = products[1:, 1:] / count - torch.outer(mean, mean)
    scale = covariance.diagonal().clamp(min=1e-12).sqrt() if whiten else torch.ones_like(mean)
    variances, axes = torch.linalg.eigh(covariance / torch.outer(scale, scale))
    explained = variances.flip(0)[:components].sum() / variances.sum()
    variances, axes = variances.flip(0)[:components].clamp(min=1e-6), axes.flip(1)[:, :components]
    unit = variances.sqrt() if whiten else torch.ones_like(variances)
    return Components(mean, (axes / unit).T / scale, variances.sqrt() / unit, explained)
