"""Adaptive depth: for each image the shallowest at which a defect shows."""

from collections.abc import Sequence

import torch
from torch import Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.reconstruction.depths import DepthList, Depths, check_depths
from anomaly_diffusion.reconstruction.guidance import check_radius, difference
from anomaly_diffusion.reconstruction.one_shot import one_shot
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
    for Unsupervised Anomaly Detection", 2024, and its code; Tebbe & Tayyub, "Dynamic Addition of Noise in a Diffusion
    Model for Anomaly Detection" (D3AD), 2024.

    Differs from the paper: GLAD searches the other way, while it walks down from its deepest step. At each it compares
    what the noise estimate makes of the walk with what it makes of the image noised as at the start, by features of
    DINO, and the first, that is the deepest, step where the mean of the ten largest distances exceeds a threshold is
    the image's; one that shows nothing gets the shallowest that is allowed, ours the deepest. Threshold and deepest
    step are set for each category, ours once. What GLAD does at that step is a pull (see `ResidualPull`), here any
    strategy starts anew from the depth. D3AD's depth grows, in classes, with the mean distance of the image's features
    from their 20 nearest neighbours in training images; here no training image and no other network is asked.

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
        candidates = self.candidates(denoiser, x_0, draw).unbind(1)
        estimates = [one_shot(denoiser, x_0, candidate, 0, draw) for candidate in candidates]
        shows = torch.stack([self.prominence(x_0, estimate) > self.threshold for estimate in estimates], dim=1)
        shows[:, -1] = True
        first = shows.int().argmax(dim=1)
        return x_0.new_tensor(self.candidates.depths)[first, None]

    def prominence(self, image: Images, estimate: Images) -> Scores:
        """Worst place of the residual relative to its mean; 0 where nothing differs."""
        residual = difference(image, estimate, self.radius).flatten(1)
        return residual.amax(1) / residual.mean(1).clamp(min=torch.finfo(residual.dtype).tiny)
