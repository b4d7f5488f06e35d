"""One-shot reconstruction: one network evaluation from a noised image to its clean estimate."""

from collections.abc import Sequence

import torch

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.strategy import Reconstruction, Restored
from anomaly_diffusion.types import Images, Times, like

__all__ = ["OneShot", "check_draws", "one_shot"]

_MOST = 1024  # draws, all of which are in memory at once


class OneShot(Reconstruction):
    """E[x_0 | x_t] at each depth, averaged over noise draws.

    Draws come in antithetic pairs (noise, -noise), whose first-order errors cancel. With no draw at all the image is
    only scaled, x_t = alpha_t * x_0: whatever the denoiser takes for noise in the photograph itself is removed.

    References: Behrendt et al., "Patched Diffusion Models for Unsupervised Anomaly Detection in Brain MRI", 2023 (one
    evaluation); Tebbe & Tayyub, "Dynamic Addition of Noise in a Diffusion Model for Anomaly Detection" (D3AD), 2024 (no
    noise).

    Differs from the paper: whole images are noised and estimated, Behrendt et al. noise one patch after another and
    leave the rest as it is, and put the estimates of the patches together; their depth is 3.4 (t = 500 of the linear
    schedule), their noise simplex; antithetic pairs are ours. D3AD walks in strides (see `NoiseFreeStart`), here there
    is one.

    Args:
        depths: sigma_t / alpha_t of each evaluation, > 0.
        draws: noise draws per depth: 0 (noise-free), 1, or an even number up to 1024.
    """

    def __init__(self, depths: Depths | Sequence[float] = (0.3,), draws: int = 0) -> None:
        super().__init__(depths)
        check_draws(draws)
        self.draws = draws

    @property
    def evaluations(self) -> int:
        """One per draw, and one if there is none."""
        return max(1, self.draws)

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """Mean estimate at `depth`."""
        return Restored(one_shot(denoiser, x_0, depth, self.draws, draw))


def one_shot(denoiser: Denoiser, x_0: Images, depth: Times, draws: int, draw: NoiseDraw) -> Images:
    """E[x_0 | x_t] of images noised to `depth`, averaged over `draws`."""
    t = denoiser.schedule.time(depth)
    alpha_t, sigma_t = (like(scale, x_0) for scale in denoiser.schedule(t))
    starts = [alpha_t * x_0 + sigma_t * noise for noise in _noises(x_0, draws, draw)]
    return torch.stack([denoiser(x_t, t).x_0 for x_t in starts]).mean(0)


def check_draws(draws: int) -> None:
    """Refuse a number of draws that are no antithetic pairs, or too many."""
    if not 0 <= draws <= _MOST or (draws > 1 and draws % 2):
        raise ValueError(f"`draws` must be 0, 1 or an even number (antithetic pairs) up to {_MOST}, got {draws}.")


def _noises(x_0: Images, draws: int, draw: NoiseDraw) -> list[Images]:
    if draws == 0:
        return [torch.zeros_like(x_0)]
    fresh = [draw(x_0) for _ in range((draws + 1) // 2)]
    return fresh + [-noise for noise in fresh[: draws // 2]]
