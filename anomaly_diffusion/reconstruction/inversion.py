"""Carry the image forward into noise along the model's own flow, and see how far it has to go."""

from collections.abc import Sequence
from typing import ClassVar

import torch

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.sampler import falling_times
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.strategy import Reconstruction, Restored
from anomaly_diffusion.types import Images, Times, like

__all__ = ["Inversion"]


class Inversion(Reconstruction):
    """Deterministic forward inversion; the map is the noise that the model had to see in the image to carry it there.

    In y = x_t / alpha_t the flow is dy / d depth = noise_hat; Euler's method follows it from y = x_0 at depth 0 to
    y_T at the given depth. The evidence is the mean noise estimate along that path,

        evidence = root mean square over channels of |y_T - x_0| / depth

    No noise is ever added: where the model knows the image it sees none, and where it would change the image it sees
    the more the more it would change. For independent pixels N(mean, spread^2) and r = depth / spread the evidence
    tends, with ever more strides, to (sqrt(1 + r^2) - 1) / r * |x_0 - mean| / spread, a z-score, at first order in
    their length: it falls short by 15 % with 5 strides to a depth of twice the spread, by 2.3 % with 50. Depth 0 itself
    cannot be asked about; the first step takes its slope from the middle of its stride, with x_0 as it is.

    The healthy version is the estimate at the end of the path.

    Reference: Sakai et al., "InvAD: Inversion-based Reconstruction-Free Anomaly Detection with Diffusion Models", 2026,
    and its code.

    Differs from the paper: the map is the length of the displacement, theirs the channel norm of the latent reached,
    which for features of unit variance tells how unlikely it is; for pixels it would mostly be the brightness. The
    score is that of the map, theirs the range of the map and the negative log-likelihood of the whole latent, each
    brought to [0, 1] by its extremes over all test images, and added. The first slope is asked in the middle of its
    stride, theirs at t = 0; the path ends at a finite depth, theirs at noise alone after 3 strides of the linear
    schedule; images are those of the detector, theirs features of EfficientNet-B4.

    Args:
        depths: sigma_t / alpha_t at the end of each path, > 0.
        steps: strides of each path, equal in time, >= 1; half the first should be no shallower than what the network
            has learnt.
    """

    judges: ClassVar[bool] = True

    def __init__(self, depths: Depths | Sequence[float] = (1.0,), steps: int = 5) -> None:
        super().__init__(depths)
        if steps < 1:
            raise ValueError(f"`steps` must be at least 1, got {steps}.")
        self.steps = steps

    @property
    def evaluations(self) -> int:
        """One a step, and one at the end of the path."""
        return self.steps + 1

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The estimate at the end of the path, and the path's length."""
        y_t = self.invert(denoiser, x_0, depth)
        t = denoiser.schedule.time(depth)
        alpha_t, _ = denoiser.schedule(t)
        displacement = (y_t - x_0) / like(depth, x_0)
        evidence = displacement.square().mean(1, keepdim=True).sqrt()
        return Restored(denoiser(like(alpha_t, x_0) * y_t, t).x_0, evidence)

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
