"""Neighbourhoods of pixels, and means over some of them.

Sums of shifted copies are several times faster on a CPU than to pool or to convolve.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from anomaly_diffusion.types import Maps, Masks, Scores

__all__ = ["WINDOW", "grown", "mean_inside", "window_mean"]

WINDOW = 7  # pixels: what is smaller is grain, not structure


def window_mean(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Mean over the 7 x 7 pixels around each; beyond the border the image is mirrored."""
    half = WINDOW // 2
    padded = F.pad(x, (half, half, half, half), mode="reflect")
    for axis in (3, 2):
        total = padded.narrow(axis, 0, x.shape[axis]).clone()
        for shift in range(1, WINDOW):
            total += padded.narrow(axis, shift, x.shape[axis])
        padded = total
    return padded / WINDOW**2


def grown(mask: Masks, margin: int) -> Masks:
    """The pixels within `margin` of a mask, along rows and columns."""
    if not mask.any():
        return mask
    near = mask
    for axis in (3, 2):
        source, near = near, near.clone()
        size = source.shape[axis]
        for shift in range(1, min(margin, size - 1) + 1):
            near.narrow(axis, shift, size - shift).logical_or_(source.narrow(axis, 0, size - shift))
            near.narrow(axis, 0, size - shift).logical_or_(source.narrow(axis, shift, size - shift))
    return near


def mean_inside(x: Maps, inside: Masks) -> Scores:
    """Mean over the pixels inside; NaN without any."""
    weight = inside.to(x).flatten(1)
    return (x.flatten(1) * weight).sum(1) / weight.sum(1)
