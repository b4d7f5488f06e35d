"""Mask, stitch, resample (AutoDDPM): only masked parts are replaced, and inpainted as in RePaint."""

import itertools
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.sampler import DDIM, Sampler, falling_times
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.guidance import check_quantile, check_radius, difference, own_quantile
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion, noised
from anomaly_diffusion.reconstruction.strategy import Restored, check_steps
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Images, Maps, Times, like

__all__ = ["MaskStitchResample", "Resampling"]


class Resampling(Configured):
    """Walks down from a shallow depth; at every time the unmasked part is the noised input, the masked the model's.

    x_s = mask * step(x_t) + (1 - mask) * (alpha_s * image + sigma_s * fresh noise)

    All steps but the last are taken `loops` times: in between, x_s is noised back to t, so that the model can fit what
    it paints to what it must keep,

    x_t = alpha_t / alpha_s * x_s + sqrt(sigma_t^2 - (alpha_t / alpha_s * sigma_s)^2) * fresh noise

    Reference: Lugmayr et al., "RePaint: Inpainting using Denoising Diffusion Probabilistic Models", 2022, Eq. 8 and
    Algorithm 1.

    Differs from the paper: the walk starts from a noised image instead of from noise alone; steps may be strides over
    many times, and noising back goes over the same stride (a jump length of one); samplers other than the ancestral one
    (DDIM with `eta` 1) may walk, and DDIM does if none is given.

    Args:
        share: where the walk starts, in shares of the depth at which the mask was found, in (0, 1]; AutoDDPM's t = 50
            after 200 is 0.243.
        steps: reverse steps, >= 1.
        loops: how often each step but the last is taken, >= 1.
        sampler: how a step is taken.
    """

    most: ClassVar[dict[str, float]] = {"steps": 10_000, "loops": 1000}

    def __init__(self, share: float = 0.243, steps: int = 5, loops: int = 5, sampler: Sampler | None = None) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"`share` must lie in (0, 1], got {share}.")
        check_steps(steps)
        if loops < 1:
            raise ValueError(f"`loops` must be at least 1, got {loops}; 1 takes every step once.")
        self.share, self.steps, self.loops = share, steps, loops
        self.sampler = sampler or DDIM()

    @property
    def evaluations(self) -> int:
        """Network evaluations of one walk."""
        last = self.sampler.evaluations(1)
        return self.loops * (self.sampler.evaluations(self.steps) - last) + last

    def __call__(
        self, denoiser: Denoiser, image: Images, stitched: Images, mask: Maps, depth: Times, draw: NoiseDraw
    ) -> Images:
        """`stitched`, noised at share * depth and walked down; equals `image` wherever `mask` is zero."""
        times = falling_times(denoiser.schedule.time(self.share * depth), self.steps)
        x_t = noised(denoiser, stitched, times[0], draw(stitched))
        pairs = list(itertools.pairwise(times))
        for place, (t, s) in enumerate(pairs, start=1):
            x_s = self._step(denoiser, image, mask, x_t, (t, s), draw)
            for _ in range(self.loops - 1 if place < len(pairs) else 0):
                x_s = self._step(denoiser, image, mask, _back(denoiser, x_s, s, t, draw), (t, s), draw)
            x_t = x_s
        return x_t

    def _step(
        self, denoiser: Denoiser, image: Images, mask: Maps, x_t: Images, times: tuple[Tensor, Tensor], draw: NoiseDraw
    ) -> Images:
        painted = self.sampler.step(denoiser, x_t, *times, draw)
        return mask * painted + (1 - mask) * noised(denoiser, image, times[1], draw(image))


class MaskStitchResample(PartialDiffusion):
    """A walk finds what the model would change; only that is kept of it, stitched into the image and resampled.

    mask     = 1 where the smoothed |image - walk| exceeds the image's own quantile, and around it; else 0
    stitched = mask * walk + (1 - mask) * image

    The reconstruction equals the image outside the mask, to the last digit; a map of its difference has as many
    zeros. The threshold is each image's own, so a good image has masked pixels too: calibration tells how far those go.

    Reference: Bercea et al., "Mask, Stitch, and Re-Sample: Enhancing Robustness and Generalizability in Anomaly
    Detection through Automatic Diffusion Models" (AutoDDPM), 2023, section 3, and its code.

    Differs from the paper: the mask comes of the residual, smoothed, theirs of the residual times a perceptual distance
    (LPIPS), and its threshold is the image's own quantile, which the authors take only where none has been set on
    normal images; resampling starts from the stitched image, in the authors' code from all of the walk; its last step
    is taken once, as in RePaint, theirs as often as the others; walks have a few strides, theirs 200 and 50 steps of
    1000, and take them by DDIM if no sampler is given, theirs are ancestral; nothing is cut to the range of pixels; the
    map is a residual, theirs the residual times the map that the mask comes from.

    Args:
        depths: sigma_t / alpha_t at the start of the walk that finds the mask, > 0; the authors' t = 200 is 0.724.
        steps: reverse steps of that walk, >= 1.
        sampler: how it takes them.
        quantile: share of the pixels that stays unmasked before dilation, in (0, 1).
        radius: half side of the smoothing window, in pixels of model space, >= 0.
        dilation: how far the mask grows in each direction, in pixels of model space, >= 0.
        resampling: how mask and image are joined.

    Raises:
        ValueError: a setting lies outside its range.
    """

    def __init__(
        self,
        depths: Depths | Sequence[float] = (0.724,),
        steps: int = 10,
        sampler: Sampler | None = None,
        quantile: float = 0.95,
        radius: int = 2,
        dilation: int = 1,
        resampling: Resampling | None = None,
    ) -> None:
        super().__init__(depths, steps, sampler)
        check_quantile(quantile)
        check_radius(radius)
        check_radius(dilation, "dilation")
        self.quantile, self.radius, self.dilation = quantile, radius, dilation
        self.resampling = resampling or Resampling()

    @property
    def evaluations(self) -> int:
        """Those of the walk and of the resampling."""
        return super().evaluations + self.resampling.evaluations

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The image with its masked part repainted."""
        reconstruction = super().restore(denoiser, x_0, depth, draw).x_0
        mask = self.mask(x_0, reconstruction)
        stitched = mask * reconstruction + (1 - mask) * x_0
        return Restored(self.resampling(denoiser, x_0, stitched, mask, depth, draw))

    def mask(self, image: Images, reconstruction: Images) -> Maps:
        """One where the model would change most and around it, zero elsewhere; all zero where nothing would change."""
        maps = difference(image, reconstruction, self.radius)
        mask = (maps > own_quantile(maps, self.quantile)).to(image)
        return F.max_pool2d(mask, 2 * self.dilation + 1, stride=1, padding=self.dilation)


def _back(denoiser: Denoiser, x_s: Images, s: Tensor, t: Tensor, draw: NoiseDraw) -> Images:
    """Noise x_s from `s` to the later time `t`."""
    (alpha_s, sigma_s), (alpha_t, sigma_t) = denoiser.schedule(s), denoiser.schedule(t)
    kept = alpha_t / alpha_s
    fresh = (sigma_t**2 - (kept * sigma_s) ** 2).clamp(min=0).sqrt()
    return like(kept, x_s) * x_s + like(fresh, x_s) * draw(x_s)
