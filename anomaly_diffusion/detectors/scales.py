"""A batch at several scales: what is too large for the network's view on one is small enough on another."""

from collections.abc import Sequence
from itertools import pairwise

from torch.nn import functional as F

from anomaly_diffusion.types import ImageBatch, size_at

__all__ = ["at_scales", "check_scales"]


def check_scales(scales: Sequence[float]) -> None:
    """Refuse scales that do not go down from 1."""
    if not scales or scales[0] != 1 or any(not 0 < b < a for a, b in pairwise(scales)):
        raise ValueError(f"`scales` must begin with 1 and go down, each > 0, got {list(scales)}.")


def at_scales(batch: ImageBatch, scales: Sequence[float]) -> list[ImageBatch]:
    """The batch at each scale."""
    return [batch if scale == 1 else _smaller(batch, scale) for scale in scales]


def _smaller(batch: ImageBatch, scale: float) -> ImageBatch:
    """A batch of smaller images, each pixel the mean of those it stands for; masks are as they were."""
    size = size_at(scale, batch.image.shape[-2:])
    share = F.interpolate(batch.valid.float(), size=size, mode="area")
    return batch._replace(image=F.interpolate(batch.image, size=size, mode="area"), valid=share > 0.5)
