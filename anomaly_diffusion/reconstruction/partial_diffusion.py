"""Partial diffusion (AnoDDPM, img2img): noise an image to a depth, then run the reverse process."""

from collections.abc import Sequence

from torch import Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.sampler import DDIM, Sampler, falling_times
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.strategy import Reconstruction, Restored, check_steps
from anomaly_diffusion.types import Images, Times, like

__all__ = ["PartialDiffusion", "noised"]


class PartialDiffusion(Reconstruction):
    """x_t = alpha_t * x_0 + sigma_t * noise at the start depth, then `steps` reverse steps down to a clean image.

    Reference: Wyatt et al., "AnoDDPM: Anomaly Detection with Denoising Diffusion Probabilistic Models using Simplex
    Noise", 2022, Algorithm 1; Meng et al., "SDEdit", 2022.

    Differs from the paper: a walk has a few strides, AnoDDPM's one step for each of 250 of 1000 times (depth 0.953 of
    the linear schedule), SDEdit's hundreds; DDIM walks if no sampler is given, theirs are stochastic: AnoDDPM's is DDIM
    with `eta` 1; the noise is that of the detector, AnoDDPM's is simplex; AnoDDPM cuts every estimate to the range of
    pixels; its map is the squared difference, cut at 0.5.

    Args:
        depths: sigma_t / alpha_t at the start of each walk, > 0.
        steps: reverse steps of each walk, >= 1.
        sampler: how a step is taken; its `eta` decides how much noise is drawn afresh.
    """

    def __init__(
        self, depths: Depths | Sequence[float] = (1.0,), steps: int = 10, sampler: Sampler | None = None
    ) -> None:
        super().__init__(depths)
        check_steps(steps)
        self.steps = steps
        self.sampler = sampler or DDIM()

    @property
    def evaluations(self) -> int:
        """Those of the sampler."""
        return self.sampler.evaluations(self.steps)

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The end of the walk from `depth`."""
        times = falling_times(denoiser.schedule.time(depth), self.steps)
        return Restored(self.sampler(denoiser, noised(denoiser, x_0, times[0], draw(x_0)), times, draw))


def noised(denoiser: Denoiser, x_0: Images, t: Tensor, noise: Images) -> Images:
    """x_t = alpha_t * x_0 + sigma_t * noise at time `t`, () or (B,)."""
    alpha_t, sigma_t = (like(scale, x_0) for scale in denoiser.schedule(t))
    return alpha_t * x_0 + sigma_t * noise
