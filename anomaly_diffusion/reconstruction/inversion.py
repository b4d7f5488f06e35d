"""Deterministic inversion: the image is carried into noise along the probability flow; the map is how far."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.sampler import falling_times
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.strategy import Reconstruction, Restored, check_steps
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Images, Maps, Times, like

__all__ = ["Displacement", "Inversion", "LatentNorm", "PathEnd"]


class PathEnd(Configured, ABC):
    """What is read off the end of a path into noise."""

    @abstractmethod
    def __call__(self, x_0: Images, x_t: Images, alpha_t: Tensor, sigma_t: Tensor) -> Maps:
        """Map >= 0 of how unexpected an image is.

        Args:
            x_0: where the path begins.
            x_t: where it ends.
            alpha_t: signal scale there, shaped to multiply images.
            sigma_t: noise scale there, shaped likewise.
        """


class Displacement(PathEnd):
    """Root mean square over channels of |x_t / alpha_t - x_0| / depth: the mean noise estimate along the path."""

    def __call__(self, x_0: Images, x_t: Images, alpha_t: Tensor, sigma_t: Tensor) -> Maps:
        """In standard deviations of noise."""
        return _over_channels((x_t - alpha_t * x_0) / sigma_t)


class LatentNorm(PathEnd):
    """Root mean square over channels of x_t, about 1 where features of unit variance are as expected.

    Reference: Sakai et al., "InvAD: Inversion-based Reconstruction-Free Anomaly Detection with Diffusion Models", 2026,
    and its code.

    Differs from the paper: the norm is divided by the root of the number of channels.
    """

    def __call__(self, x_0: Images, x_t: Images, alpha_t: Tensor, sigma_t: Tensor) -> Maps:
        """In standard deviations of x_t."""
        return _over_channels(x_t)


class Inversion(Reconstruction):
    """Deterministic forward inversion; the map is the noise that the model had to see in the image to carry it there.

    In y = x_t / alpha_t the flow is dy / d depth = noise_hat; Euler's method follows it from y = x_0 at depth 0 to
    y_T at the given depth. The anomaly map is what `end` reads there, if nothing else is said the mean noise estimate
    along that path,

        anomaly map = root mean square over channels of |y_T - x_0| / depth

    No noise is ever added: where the model knows the image it sees none, and where it would change the image it sees
    the more the more it would change. For independent pixels N(mean, spread^2) and r = depth / spread the anomaly map
    tends, with ever more strides, to (sqrt(1 + r^2) - 1) / r * |x_0 - mean| / spread, a z-score, at first order in
    their length: it falls short by 15 % with 5 strides to a depth of twice the spread, by 2.3 % with 50. Depth 0 itself
    cannot be asked about; the first step takes its slope from the middle of its stride, with x_0 as it is.

    The reconstruction is the estimate at the end of the path.

    Reference: Sakai et al., "InvAD: Inversion-based Reconstruction-Free Anomaly Detection with Diffusion Models", 2026,
    and its code.

    Differs from the paper: the map is the length of the displacement unless `end` is `LatentNorm`, which for features
    of unit variance tells how unlikely they are; for pixels it would mostly be the brightness. The score is that of the
    map; theirs, of the whole latent, is that of `InvAD`. The first slope is asked in the middle of its stride, theirs
    at t = 0; the path ends at a finite depth, theirs at noise alone after 3 strides of the linear schedule; images are
    those of the detector, theirs features of EfficientNet-B4.

    Args:
        depths: sigma_t / alpha_t at the end of each path, > 0.
        steps: strides of each path, equal in time, >= 1; half the first should be no shallower than what the network
            has learnt.
        end: what is read at the end of a path; the displacement if not given.
    """

    provides_maps: ClassVar[bool] = True

    def __init__(self, depths: Depths | Sequence[float] = (1.0,), steps: int = 5, end: PathEnd | None = None) -> None:
        super().__init__(depths)
        check_steps(steps)
        self.steps, self.end = steps, end or Displacement()

    @property
    def evaluations(self) -> int:
        """One a step, and one at the end of the path."""
        return self.steps + 1

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The estimate at the end of the path, and what is read there."""
        t = denoiser.schedule.time(depth)
        alpha_t, sigma_t = (like(scale, x_0) for scale in denoiser.schedule(t))
        x_t = alpha_t * self.invert(denoiser, x_0, depth)
        return Restored(denoiser(x_t, t).x_0, self.end(x_0, x_t, alpha_t, sigma_t))

    def invert(self, denoiser: Denoiser, x_0: Images, depth: Times) -> Images:
        """y_T = x_T / alpha_T at `depth`."""
        times = falling_times(denoiser.schedule.time(depth), self.steps).flip(0)
        nodes = denoiser.schedule.depth(times)  # (T + 1, B), rising from 0
        asked = torch.cat([nodes[1:2] / 2, nodes[1:-1]])
        y_t = x_0
        for at, stride in zip(asked, nodes.diff(dim=0), strict=True):
            t = denoiser.schedule.time(at)
            alpha_t, _ = denoiser.schedule(t)
            y_t = y_t + like(stride, x_0) * denoiser(like(alpha_t, x_0) * y_t, t).noise
        return y_t


def _over_channels(values: Images) -> Maps:
    return values.square().mean(1, keepdim=True).sqrt()
