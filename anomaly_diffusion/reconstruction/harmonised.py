"""Walk back from noise, and every now and then put back what of the image needs no change."""

from collections.abc import Sequence

import torch
from torch import Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.sampler import Sampler, falling_times
from anomaly_diffusion.diffusion.schedule import Schedule
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.guidance import GuidedDenoiser, Pull, ResidualPull
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.strategy import Reconstruction, Restored
from anomaly_diffusion.types import Images, Times, like

__all__ = ["Harmonised"]


class Harmonised(Reconstruction):
    """A walk whose estimates at some depths are blended with the image, by a map of where the two already agree.

    x_0_hat' = x_0_hat + pull * (image - x_0_hat) at the evaluations nearest to `fractions`, x_0_hat at all others

    With a pull of 1 where estimate and image agree and 0 where they differ, texture survives and defects do not; in
    between, the model is free to fit the two to each other.

    Reference: Bercea et al., "Diffusion Models with Implicit Guidance for Medical Anomaly Detection" (THOR), 2024,
    section 2, which starts at t = 250 and blends at 200, 150, 100 and 50; its map also uses a perceptual distance.

    Args:
        depths: sigma_t / alpha_t at the start of each walk, > 0.
        steps: reverse steps of each walk, >= 1.
        fractions: depths at which to blend, in shares of the start depth, falling, each in (0, 1); with none it is
            plain partial diffusion.
        pull: the map; that of the image's own residual if not given.
        sampler: how a step is taken.

    Raises:
        ValueError: a setting lies outside its range, or `fractions` do not fall.
    """

    def __init__(
        self,
        depths: Depths | Sequence[float] = (1.0,),
        steps: int = 10,
        fractions: Sequence[float] = (0.75, 0.55, 0.35, 0.2),
        pull: Pull | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        super().__init__(depths)
        if any(not 0 < fraction < 1 for fraction in fractions):
            raise ValueError(f"`fractions` must lie in (0, 1), got {list(fractions)}.")
        if sorted(set(fractions), reverse=True) != list(fractions):
            raise ValueError(f"`fractions` must fall from each to the next, got {list(fractions)}.")
        self.steps = steps
        self.walk = PartialDiffusion(depths, steps, sampler)
        self.fractions, self.pull = tuple(fractions), pull or ResidualPull()

    @property
    def evaluations(self) -> int:
        """Those of the walk: blending takes none."""
        return self.walk.evaluations

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The end of the harmonised walk from `depth`."""
        pull = _Now(self.pull, self.blended_times(denoiser, depth))
        return self.walk.restore(GuidedDenoiser(denoiser, x_0, pull), x_0, depth, draw)

    def blended_times(self, denoiser: Denoiser, depth: Times) -> Tensor:
        """Times (F, B) of the walk's evaluations whose depths are nearest to `fractions`."""
        times = falling_times(denoiser.schedule.time(depth), self.walk.steps)[:-1]
        shares = denoiser.schedule.depth(times) / depth  # (T, B)
        nearest = [(shares - fraction).abs().argmin(0, keepdim=True) for fraction in self.fractions]
        return torch.cat([times.gather(0, place) for place in nearest]) if nearest else times[:0]


class _Now(Pull):
    """A pull at some times (F, B), none at all others."""

    def __init__(self, pull: Pull, times: Tensor) -> None:
        self.pull, self.times = pull, times

    def __call__(self, t: Times, schedule: Schedule, estimate: Images, image: Images) -> Tensor:
        """The pull for images whose time it is, 0 for others."""
        now = (self.times == t).any(0).to(image)
        return like(now, image) * self.pull(t, schedule, estimate, image)
