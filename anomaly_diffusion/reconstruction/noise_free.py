"""Noise-free start (D3AD): the reverse process starts from the scaled image, without noise."""

from collections.abc import Sequence

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.sampler import Sampler, falling_times
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.guidance import GuidedDenoiser, Pull, as_pull
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.strategy import Restored
from anomaly_diffusion.types import Images, Times, like

__all__ = ["NoiseFreeStart"]


class NoiseFreeStart(PartialDiffusion):
    """x_t = alpha_t * x_0, to which no noise is added, then `steps` reverse steps: what looks like noise is removed.

    Fine texture is not lost in noise before it has to be restored. With one step it is the noise-free OneShot. With
    a pull, x_0_hat + pull * (image - x_0_hat) takes the place of x_0_hat at every evaluation, as in `Guided`.

    Reference: Tebbe & Tayyub, "Dynamic Addition of Noise in a Diffusion Model for Anomaly Detection" (D3AD), 2024,
    section 3, and its code, which walks with DDAD's weight of 4 on every set: `DDADPull(4)`.

    Differs from the paper: there is no pull if none is given; the depth is the same for all images, the authors' is
    chosen for each from 20 nearest neighbours among features of training images, up to 0.44; the start is told its own
    time, theirs that of one stride later; strides are equal in the time of whatever schedule is trained with; the map
    is a residual, theirs a weighted sum of latent and feature distances scaled by the whole test set.

    Args:
        depths: sigma_t / alpha_t that the denoiser is told at the start of each walk, > 0.
        steps: reverse steps of each walk, >= 1.
        sampler: how a step is taken; one with `eta` = 0 draws nothing at all.
        pull: a number in [0, 1], or a rule; none if not given.

    Raises:
        ValueError: `depths` or `steps` is not positive, or `pull` lies outside.
    """

    def __init__(
        self,
        depths: Depths | Sequence[float] = (1.0,),
        steps: int = 10,
        sampler: Sampler | None = None,
        pull: Pull | float | None = None,
    ) -> None:
        super().__init__(depths, steps, sampler)
        self.pull = None if pull is None else as_pull(pull)

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The end of the walk from `depth`."""
        times = falling_times(denoiser.schedule.time(depth), self.steps)
        alpha_t, _ = denoiser.schedule(times[0])
        walker = denoiser if self.pull is None else GuidedDenoiser(denoiser, x_0, self.pull)
        return Restored(self.sampler(walker, like(alpha_t, x_0) * x_0, times, draw))
