"""Where an estimate leaves its image, measured against that image alone: what masks and pull maps are made of."""

import torch
from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.types import Images, Maps, like

__all__ = ["check_quantile", "check_radius", "difference", "own_quantile"]


def difference(image: Images, estimate: Images, radius: int) -> Maps:
    """Absolute difference, averaged over channels and over windows of side 2 * radius + 1; borders repeat."""
    maps = (image - estimate).abs().mean(1, keepdim=True)
    padded = F.pad(maps, (radius,) * 4, mode="replicate") if radius else maps
    return F.avg_pool2d(padded, 2 * radius + 1, stride=1)


def own_quantile(maps: Maps, quantile: float) -> Tensor:
    """The value that the share `quantile` of a map's own pixels stays below, (B, 1, 1, 1)."""
    return like(torch.quantile(maps.flatten(1), quantile, dim=1), maps)


def check_quantile(quantile: float) -> None:
    """Refuse a share that leaves nothing, or everything, above it."""
    if not 0 < quantile < 1:
        raise ValueError(f"`quantile` must lie in (0, 1), got {quantile}.")


def check_radius(radius: int, name: str = "radius") -> None:
    """Refuse a window without a middle."""
    if radius < 0:
        raise ValueError(f"`{name}` must not be negative, got {radius}.")
