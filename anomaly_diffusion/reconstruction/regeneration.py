"""Regeneration: DDIM inversion of the image into noise, then the reverse process from there."""

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.sampler import falling_times
from anomaly_diffusion.reconstruction.inversion import Inversion
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.strategy import Restored
from anomaly_diffusion.types import Images, Times, like

__all__ = ["Regeneration"]


class Regeneration(PartialDiffusion):
    """x_t = alpha_t * y_T with y_T from `Inversion` of as many steps, then `steps` reverse steps down to a clean image.

    No noise is drawn: the start is the one from which the model would have generated the image. Both ways follow the
    same flow, so the walk comes back to the image itself but for the error of its strides, which is of first order in
    their length; what a model does not expect is where it errs most.

    Reference: Song et al., "Denoising Diffusion Implicit Models", 2021, section 4.3; Mokady et al., "Null-text
    Inversion", 2023, section 3.1.

    Differs from the paper: the walk may turn back before noise alone is reached; the first slope is asked in the middle
    of its stride (see `Inversion`), theirs where the walk stands; no text is told, nor are its embeddings optimised.

    Args:
        depths: sigma_t / alpha_t at the far end of each walk, > 0.
        steps: strides each way, >= 1.
        sampler: how a step back is taken.
    """

    @property
    def evaluations(self) -> int:
        """One a step forth, and those of the sampler back."""
        return self.steps + super().evaluations

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The end of the walk there and back."""
        y_t = Inversion(self.start, self.steps).invert(denoiser, x_0, depth)
        times = falling_times(denoiser.schedule.time(depth), self.steps)
        alpha_t, _ = denoiser.schedule(times[0])
        return Restored(self.sampler(denoiser, like(alpha_t, x_0) * y_t, times, draw))
