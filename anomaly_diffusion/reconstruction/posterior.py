"""Posterior average: several stochastic reconstructions, their mean, and the distance of the image in their std."""

from collections.abc import Sequence
from typing import ClassVar

import torch

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.sampler import DDIM, Sampler
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.strategy import Restored
from anomaly_diffusion.types import Images, Times

__all__ = ["PosteriorAverage"]


class PosteriorAverage(PartialDiffusion):
    """Samples reconstructions by stochastic walks, each from noise of its own; maps are distances in their spread.

    x_0_hat  = mean over walks
    variance = over walks, per pixel and channel, unbiased
    anomaly map = root of the mean over channels of (x_0 - x_0_hat)^2 / (variance + floor^2)

    A difference counts the less the less the model is sure of the pixel: edges and rough texture, where all
    reconstructions err, are forgiven. For independent pixels N(mean, spread^2) and a walk without discretisation error,
    with w = spread^2 / (spread^2 + depth^2),

        E x_0_hat = mean + w * (x_0 - mean),    variance = depth^2 * w * (1 + w)

    Reference: Wu et al., "Unsupervised Anomaly Detection via Masked Diffusion Posterior Sampling" (MDPS), 2024,
    which draws several samples as well.

    Differs from the paper: walks are plain, theirs are conditioned on the image as a masked and noisy observation; the
    map is the distance from their mean in their spread, theirs the mean of their differences, of pixels and of
    features.

    Args:
        depths: sigma_t / alpha_t at the start of each walk, > 0.
        samples: walks per depth, >= 2.
        steps: reverse steps of each walk, >= 1.
        sampler: how a step is taken; ancestral sampling if not given.
        floor: standard deviation, in units of model space, below which the spread of so few samples is not believed,
            > 0; the larger, the more the map resembles a plain difference.
    """

    provides_maps: ClassVar[bool] = True

    def __init__(
        self,
        depths: Depths | Sequence[float] = (0.5,),
        samples: int = 4,
        steps: int = 5,
        sampler: Sampler | None = None,
        floor: float = 0.05,
    ) -> None:
        super().__init__(depths, steps, sampler or DDIM(eta=1.0))
        if samples < 2:
            raise ValueError(f"`samples` must be at least 2, got {samples}; one sample has no variance.")
        if not floor > 0:
            raise ValueError(f"`floor` must be positive, got {floor}.")
        self.samples, self.floor = samples, floor

    @property
    def evaluations(self) -> int:
        """Those of all walks."""
        return self.samples * super().evaluations

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """Mean of the walks, and the distance of `x_0` from it in their spread."""
        walks = torch.stack(
            [super(PosteriorAverage, self).restore(denoiser, x_0, depth, draw).x_0 for _ in range(self.samples)]
        )
        variance, mean = torch.var_mean(walks, dim=0)
        distance = (x_0 - mean).square() / (variance + self.floor**2)
        return Restored(mean, distance.mean(1, keepdim=True).sqrt())
