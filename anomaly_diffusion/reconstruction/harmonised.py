"""Temporal harmonisation (THOR): partial diffusion with blends of estimate and image along the trajectory."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.recorder import Recorder
from anomaly_diffusion.diffusion.sampler import DDIM, Sampler, falling_times
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.guidance import Pull, RegionPull, check_limit, clamped
from anomaly_diffusion.reconstruction.partial_diffusion import noised
from anomaly_diffusion.reconstruction.strategy import Reconstruction, Restored, check_steps
from anomaly_diffusion.types import Images, Times, like

__all__ = ["Harmonised"]


class Harmonised(Reconstruction):
    """A walk that starts anew at some depths, from a blend of estimate and image and from its first noise.

    At the evaluations nearest to `fractions`, with `noise` the draw that noised the image at the start of the walk,

    blend = x_0_hat + pull * (image - x_0_hat),    x_s = alpha_s * blend + sigma_s * noise

    takes the place of the sampler's step from t to s. With a pull of 1 where estimate and image agree and 0 where they
    differ, texture returns to the very line from image to noise, and defects do not; in between, the model is free to
    fit the two to each other.

    Reference: Bercea et al., "Diffusion Models with Implicit Guidance for Medical Anomaly Detection" (THOR), 2024,
    section 2, and its code.

    Differs from the paper: a walk has a few strides, the authors' one step for each of 250 or 350 of 1000 times; a
    blend is noised at the end of its stride, theirs at its start, which differs by one of their short steps; samplers
    other than the ancestral one (DDIM with `eta` 1) may walk, and DDIM does if none is given; the blend is cut to the
    range of pixels only where a `limit` is given; `pull` lacks a perceptual distance (see `RegionPull`); the map is the
    residual of the reconstruction, theirs the harmonic mean of the maps of all blends.

    Args:
        depths: sigma_t / alpha_t at the start of each walk, > 0; the authors' t = 250 is 0.958.
        steps: reverse steps of each walk, >= 1.
        fractions: depths at which to blend, in shares of the start depth, falling, each in (0, 1); with none it is
            plain partial diffusion. Those not given are the authors' t = 200, 150, 100 and 50.
        pull: how strongly the blend holds on to the image; that of the paper if not given.
        sampler: how a step is taken.
        limit: blends are cut to [-limit, limit], > 0; the authors' is 1, the range of pixels. None: they are not.

    Raises:
        ValueError: a setting lies outside its range, or `fractions` do not fall.
    """

    def __init__(
        self,
        depths: Depths | Sequence[float] = (0.958,),
        steps: int = 10,
        fractions: Sequence[float] = (0.755, 0.545, 0.357, 0.184),
        pull: Pull | None = None,
        sampler: Sampler | None = None,
        limit: float | None = None,
    ) -> None:
        super().__init__(depths)
        check_steps(steps)
        if any(not 0 < fraction < 1 for fraction in fractions):
            raise ValueError(f"`fractions` must lie in (0, 1), got {list(fractions)}.")
        if sorted(set(fractions), reverse=True) != list(fractions):
            raise ValueError(f"`fractions` must fall from each to the next, got {list(fractions)}.")
        check_limit(limit)
        self.steps, self.sampler = steps, sampler or DDIM()
        self.fractions, self.pull, self.limit = tuple(fractions), pull or RegionPull(), limit

    @property
    def evaluations(self) -> int:
        """Those of the walk: blending takes none."""
        return self.sampler.evaluations(self.steps)

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The end of the harmonised walk from `depth`."""
        times, noise = falling_times(denoiser.schedule.time(depth), self.steps), draw(x_0)
        x_t = noised(denoiser, x_0, times[0], noise)
        for t, s, now in zip(times, times[1:], self.blended(denoiser, depth), strict=False):
            heard = Recorder(denoiser)
            x_s = self.sampler.step(heard, x_t, t, s, draw)
            if now.any():
                blend = self._blend(denoiser, t, heard.evaluations[0].x_0_hat, x_0)
                x_s = torch.where(like(now, x_s), noised(denoiser, blend, s, noise), x_s)
            x_t = x_s
        return Restored(x_t)

    def blended(self, denoiser: Denoiser, depth: Times) -> Bool[Tensor, "T B"]:
        """Which evaluations of the walk are those whose depths are nearest to `fractions`."""
        times = falling_times(denoiser.schedule.time(depth), self.steps)[:-1]
        shares = denoiser.schedule.depth(times) / depth
        now = torch.zeros_like(shares, dtype=torch.bool)
        for fraction in self.fractions:
            now.scatter_(0, (shares - fraction).abs().argmin(0, keepdim=True), True)
        return now

    def _blend(self, denoiser: Denoiser, t: Times, estimate: Images, image: Images) -> Images:
        pull = self.pull(t, denoiser.schedule, estimate, image)
        return clamped(estimate + pull * (image - estimate), self.limit)
