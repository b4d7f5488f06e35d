"""One network evaluation from a noisy (or merely faded) image to its clean estimate."""

from collections.abc import Sequence

import torch

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.types import Images, Reconstructed

__all__ = ["OneShot"]


class OneShot(Reconstruction):
    """E[x_0 | x_t] at each depth, averaged over noise draws.

    Draws come in antithetic pairs (noise, -noise), whose first-order errors cancel. With no draw at all the image is
    only scaled, x_t = alpha_t * x_0: whatever the denoiser takes for noise in the photograph itself is removed.

    References: Behrendt et al., "Patched Diffusion Models for Unsupervised Anomaly Detection in Brain MRI", 2023 (one
    evaluation); Tebbe & Tayyub, "Dynamic Addition of Noise in a Diffusion Model for Anomaly Detection", 2024 (no
    noise).

    Args:
        depths: sigma_t / alpha_t of each evaluation, > 0.
        draws: noise draws per depth: 0 (noise-free), 1, or an even number.
    """

    def __init__(self, depths: Sequence[float] = (0.3,), draws: int = 0) -> None:
        super().__init__(depths)
        if draws < 0 or (draws > 1 and draws % 2):
            raise ValueError(f"`draws` must be 0, 1 or an even number (antithetic pairs), got {draws}.")
        self.draws = draws

    def __call__(self, denoiser: Denoiser, x_0: Images, draw: NoiseDraw) -> Reconstructed:
        """Healthy versions of `x_0`, one per depth."""
        estimates = [self._estimate(denoiser, x_0, depth, draw) for depth in self.depths]
        return Reconstructed(torch.stack(estimates, dim=1), nfe=len(self.depths) * max(1, self.draws))

    def _estimate(self, denoiser: Denoiser, x_0: Images, depth: float, draw: NoiseDraw) -> Images:
        t = denoiser.schedule.time(x_0.new_tensor(depth))
        alpha_t, sigma_t = denoiser.schedule(t)
        starts = [alpha_t * x_0 + sigma_t * noise for noise in self._noises(x_0, draw)]
        return torch.stack([denoiser(x_t, t).x_0 for x_t in starts]).mean(0)

    def _noises(self, x_0: Images, draw: NoiseDraw) -> list[Images]:
        if self.draws == 0:
            return [torch.zeros_like(x_0)]
        fresh = [draw(x_0) for _ in range((self.draws + 1) // 2)]
        return fresh + [-noise for noise in fresh[: self.draws // 2]]
