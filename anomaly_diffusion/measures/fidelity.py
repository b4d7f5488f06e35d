"""How faithful a reconstruction is, pixel by pixel and window by window."""

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_diffusion.measures.windows import window_mean
from anomaly_diffusion.types import Images, Masks, Scores

__all__ = ["kept_share", "psnr", "ssim"]

_C1, _C2 = 0.02**2, 0.06**2  # (0.01 * range)^2 and (0.03 * range)^2 of the paper, for a range of 2


def psnr(image: Images, reconstruction: Images, valid: Masks) -> Scores:
    """10 log10(4 / mean squared error) in dB over the pixels of the photograph; images lie in [-1, 1].

    It ends at 106 dB, so that the figure of a copy is a number like any other.
    """
    inside = valid.expand_as(image)
    error = ((image - reconstruction).square() * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)
    return 10 * torch.log10(4 / error.clamp(min=1e-10))


def ssim(image: Images, reconstruction: Images, valid: Masks) -> Scores:
    """Structural similarity, windows of 7 pixels, mean over the pixels of the photograph; images lie in [-1, 1].

    Reference: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, Eq. 13.
    """
    x, y = image + 1, reconstruction + 1  # luminance is a ratio: it needs black at zero
    mean_x, mean_y, squares, product = window_mean(torch.cat([x, y, x * x + y * y, x * y])).chunk(4)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * product - 2 * mean_x * mean_y + _C2) / (squares - (mean_x**2 + mean_y**2) + _C2)
    inside = valid.to(image).expand_as(image)  # sums of floats are far faster than those of booleans
    return (luminance * structure * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)


def kept_share(
    clean: Images, painted: Images, reconstructions: Float[Tensor, "B D C H W"], mask: Masks
) -> Float[Tensor, "B D"]:
    """How much of what was painted on an image its reconstructions keep: 1 for a copy, 0 where it is gone.

    share = <reconstruction - clean, painted - clean> / |painted - clean|^2 over the pixels of the mask: the projection
    of what is left of the defect on the defect. NaN where nothing was changed.
    """
    defect = ((painted - clean) * mask)[:, None]
    left = (reconstructions - clean[:, None]) * defect
    share: Tensor = left.sum((2, 3, 4)) / defect.square().sum((2, 3, 4))
    return share
