"""Guided partial diffusion (DDAD): every estimate is pulled towards the image."""

from collections.abc import Sequence

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.sampler import Sampler
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.guidance import GuidedDenoiser, Pull, as_pull
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.strategy import Restored
from anomaly_diffusion.types import Images, Times

__all__ = ["Guided"]


class Guided(PartialDiffusion):
    """Partial diffusion with x_0_hat + pull * (image - x_0_hat) in place of x_0_hat, at every evaluation.

    What the image and the model agree on survives the walk; pull 0 is plain partial diffusion, pull 1 the image.

    Reference: Mousakhan et al., "Anomaly Detection with Conditioned Denoising Diffusion Models" (DDAD), 2023, Algorithm
    1, and its code. Its weight is DDADPull, its sampler DDIM with eta 1, its depth 0.953 (t = 250 of the linear
    schedule), its steps are 10.

    Differs from the paper: depth 1, a constant pull and a sampler without noise are what it does if nothing is said;
    the start is told its own time, the authors' code tells it that of one stride later (t = 225 for 250), and ends
    with t = 0; strides are equal in the time of whatever schedule is trained with; the map is what `scoring` makes of
    the reconstruction, theirs one of pixels and one of features, added by their largest values over a test batch.

    Args:
        depths: sigma_t / alpha_t at the start of each walk, > 0.
        steps: reverse steps of each walk, >= 1.
        pull: a number in [0, 1], or a rule.
        sampler: how a step is taken.

    Raises:
        ValueError: `depths` or `steps` is not positive, or `pull` lies outside.
    """

    def __init__(
        self,
        depths: Depths | Sequence[float] = (1.0,),
        steps: int = 10,
        pull: Pull | float = 0.3,
        sampler: Sampler | None = None,
    ) -> None:
        super().__init__(depths, steps, sampler)
        self.pull = as_pull(pull)

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The end of the guided walk from `depth`."""
        return super().restore(GuidedDenoiser(denoiser, x_0, self.pull), x_0, depth, draw)
