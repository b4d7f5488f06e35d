"""Walk back from the image itself, as if it were a noisy one."""

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.sampler import falling_times
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.strategy import Restored
from anomaly_diffusion.types import Images, Times, like

__all__ = ["NoiseFreeStart"]


class NoiseFreeStart(PartialDiffusion):
    """x_t = alpha_t * x_0, to which no noise is added, then `steps` reverse steps: what looks like noise is removed.

    Fine texture is not drowned in noise before it has to be restored. With one step it is the noise-free OneShot.

    Reference: Tebbe & Tayyub, "Dynamic Addition of Noise in a Diffusion Model for Anomaly Detection" (D3AD), 2024,
    section 3.

    Args:
        depths: sigma_t / alpha_t that the denoiser is told at the start of each walk, > 0.
        steps: reverse steps of each walk, >= 1.
        sampler: how a step is taken; one with `eta` = 0 draws nothing at all.
    """

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The end of the walk from `depth`."""
        times = falling_times(denoiser.schedule.time(depth), self.steps)
        alpha_t, _ = denoiser.schedule(times[0])
        return Restored(self.sampler(denoiser, like(alpha_t, x_0) * x_0, times, draw))
