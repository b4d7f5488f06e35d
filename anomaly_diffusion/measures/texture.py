"""Fine texture in numbers: how rough it is, and which grey values are neighbours."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from torch import Tensor

from anomaly_diffusion.measures.windows import mean_inside, window_mean
from anomaly_diffusion.types import Images, Maps, Masks, Scores

__all__ = ["LEVELS", "TextureStatistics", "cooccurrence", "cooccurrence_distance", "texture_statistics"]

LEVELS, REACH = 8, 2.5  # grey levels, and how many standard deviations they span to either side of the mean


class TextureStatistics(NamedTuple):
    """Roughness of each image, in pixels of [-1, 1].

    Attributes:
        gradient: mean length of the gradient, per pixel; NaN if no pixel counts, as is the next.
        variance: mean variance within windows of 7 pixels.
    """

    gradient: Scores
    variance: Scores


def texture_statistics(images: Images, inside: Masks | None = None) -> TextureStatistics:
    """Gradient and local variance of grey images.

    Args:
        images: any number of channels; their mean is measured.
        inside: pixels that count; all, if not given.
    """
    grey = _grey(images)
    inside = torch.ones_like(grey, dtype=torch.bool) if inside is None else inside
    down = F.pad(grey[..., 1:, :] - grey[..., :-1, :], (0, 0, 0, 1))
    right = F.pad(grey[..., 1:] - grey[..., :-1], (0, 1))
    mean, square = window_mean(torch.cat([grey, grey.square()])).chunk(2)
    return TextureStatistics(
        mean_inside((down.square() + right.square()).sqrt(), inside),
        mean_inside((square - mean.square()).clamp(min=0), inside),
    )


def cooccurrence_distance(reference: Images, reconstruction: Images, inside: Masks) -> Scores:
    """How differently grey values of neighbouring pixels go together: 0 for a copy, 1 for nothing in common.

    d = 1/2 sum |P - Q| over the co-occurrence matrices of direct neighbours, to the right and below. Both images are
    cut into 8 grey levels over the reference's mean ± 2.5 standard deviations, so that contrast counts as well.

    Reference: Haralick et al., "Textural Features for Image Classification", 1973, section II.
    """
    grey = _grey(reference)
    low, high = _span(grey, inside)
    levels = (_levels(images, low, high, inside) for images in (grey, _grey(reconstruction)))
    distances = [0.5 * float(np.abs(cooccurrence(p) - cooccurrence(q)).sum()) / 2 for p, q in zip(*levels, strict=True)]
    return reference.new_tensor(distances)


def cooccurrence(levels: UInt8[ndarray, "H W"]) -> Float[ndarray, "L L 2"]:
    """How often two grey levels are neighbours, to the right and below, in both orders; level 0 is left out."""
    from skimage.feature import graycomatrix  # a second of imports

    counted = graycomatrix(levels, [1], [0, np.pi / 2], levels=LEVELS + 1, symmetric=True)[1:, 1:, 0].astype(float)
    shares: ndarray = counted / counted.sum((0, 1)).clip(min=1)
    return shares


def _grey(images: Images) -> Maps:
    return images.float().mean(1, keepdim=True) if images.shape[1] > 1 else images.float()


def _span(grey: Maps, inside: Masks) -> tuple[Tensor, Tensor]:
    mean, square = (mean_inside(x, inside)[:, None, None, None] for x in (grey, grey.square()))
    reach = REACH * (square - mean.square()).clamp(min=1e-6).sqrt()
    return mean - reach, mean + reach


def _levels(grey: Maps, low: Tensor, high: Tensor, inside: Bool[Tensor, "B 1 H W"]) -> UInt8[ndarray, "B H W"]:
    """Levels 1 to `LEVELS`, 0 outside."""
    level = ((grey - low) / (high - low) * LEVELS).floor().clamp(0, LEVELS - 1) + 1
    found: ndarray = (level * inside)[:, 0].byte().cpu().numpy()
    return found
