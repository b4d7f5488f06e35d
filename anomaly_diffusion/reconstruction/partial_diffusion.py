"""Noise an image part of the way, then walk back."""

from collections.abc import Sequence

import torch

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.sampler import DDIM, Sampler, falling_times
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.types import Images, Reconstructed

__all__ = ["PartialDiffusion"]


class PartialDiffusion(Reconstruction):
    """x_t = alpha_t * x_0 + sigma_t * noise at the start depth, then `steps` reverse steps down to a clean image.

    Reference: Wyatt et al., "AnoDDPM: Anomaly Detection with Denoising Diffusion Probabilistic Models using Simplex
    Noise", 2022, Algorithm 1; Meng et al., "SDEdit", 2022.

    Args:
        depths: sigma_t / alpha_t at the start of each walk, > 0.
        steps: reverse steps of each walk, >= 1.
        sampler: how a step is taken; its `eta` decides how much noise is drawn afresh.
    """

    def __init__(self, depths: Sequence[float] = (1.0,), steps: int = 10, sampler: Sampler | None = None) -> None:
        super().__init__(depths)
        if steps < 1:
            raise ValueError(f"`steps` must be at least 1, got {steps}.")
        self.steps = steps
        self.sampler = sampler or DDIM()

    def __call__(self, denoiser: Denoiser, x_0: Images, draw: NoiseDraw) -> Reconstructed:
        """Healthy versions of `x_0`, one per depth."""
        walks = [self._walk(denoiser, x_0, depth, draw) for depth in self.depths]
        return Reconstructed(torch.stack(walks, dim=1), nfe=len(self.depths) * self.sampler.evaluations(self.steps))

    def _walk(self, denoiser: Denoiser, x_0: Images, depth: float, draw: NoiseDraw) -> Images:
        times = falling_times(denoiser.schedule.time(x_0.new_tensor(depth)), self.steps)
        alpha_t, sigma_t = denoiser.schedule(times[0])
        return self.sampler(denoiser, alpha_t * x_0 + sigma_t * draw(x_0), times, draw)
