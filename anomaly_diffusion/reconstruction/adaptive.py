"""A depth for each image, as shallow as shows the defect."""

from collections.abc import Sequence

import torch
from torch import Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.reconstruction.depths import DepthList, Depths, check_depths
from anomaly_diffusion.reconstruction.difference import check_radius, difference
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.types import Images, Scores

__all__ = ["AdaptiveDepth"]


class AdaptiveDepth(Depths):
    """The shallowest candidate at which one place of the image stands out; the deepest if none does at any.

    residual   = |x_0_hat - x_0| of a noise-free one-shot, averaged over channels and a window of side 2 * radius + 1
    prominence = max of residual / mean of residual, over the pixels of the image
    depth      = min {candidate: prominence > threshold}, else max {candidate}

    A small defect is thus restored from where it first shows, with the texture around it hardly touched; only what
    shallow noise does not reveal is worth deep noise. Nothing but image and denoiser decides. Beware that residuals
    grow with depth: maps stay comparable within an image, but less so between images of different depths.

    References: after Yao et al., "GLAD: Towards Better Reconstruction with Global and Local Adaptive Diffusion Models
    for Unsupervised Anomaly Detection", 2024, and Tebbe & Tayyub, "Dynamic Addition of Noise in a Diffusion Model for
    Anomaly Detection" (D3AD), 2024, which compare features instead: to the image's, to those of training images.

    Args:
        candidates: sigma_t / alpha_t to choose from, > 0; each takes one network evaluation.
        threshold: prominence above which a place stands out, > 1, for the maximum is at least the mean.
        radius: half side of the window, in pixels of model space, >= 0.

    Raises:
        ValueError: a setting lies outside its range.
    """

    def __init__(self, candidates: Sequence[float], threshold: float, radius: int = 2) -> None:
        check_depths(candidates, "candidates")
        if not threshold > 1:
            raise ValueError(f"`threshold` must be greater than 1, got {threshold}: all images exceed 1 anyway.")
        check_radius(radius)
        self.candidates, self.threshold, self.radius = DepthList(candidates), float(threshold), radius

    @property
    def labels(self) -> tuple[float, ...]:
        """One label, for there is one depth: the deepest candidate."""
        return (self.deepest,)

    @property
    def deepest(self) -> float:
        """The deepest candidate."""
        return self.candidates.deepest

    @property
    def nfe(self) -> int:
        """One for each candidate."""
        return len(self.candidates.depths)

    def __call__(self, denoiser: Denoiser, x_0: Images, draw: NoiseDraw) -> Tensor:
        """Depths (B, 1)."""
        estimates = OneShot(self.candidates, draws=0)(denoiser, x_0, draw).x_0.unbind(1)
        shows = torch.stack([self.prominence(x_0, estimate) > self.threshold for estimate in estimates], dim=1)
        shows[:, -1] = True
        first = shows.int().argmax(dim=1)
        return x_0.new_tensor(self.candidates.depths)[first, None]

    def prominence(self, image: Images, estimate: Images) -> Scores:
        """Worst place of the residual relative to its mean; 0 where nothing differs."""
        residual = difference(image, estimate, self.radius).flatten(1)
        return residual.amax(1) / residual.mean(1).clamp(min=torch.finfo(residual.dtype).tiny)
