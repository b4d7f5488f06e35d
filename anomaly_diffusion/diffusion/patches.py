"""Patches of an image, one of which is noised while the rest stays as it is; and how that is learnt."""

from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseSource
from anomaly_diffusion.diffusion.objective import UniformTimes, Weighting
from anomaly_diffusion.types import Images, Scores, like

__all__ = ["PatchedObjective", "check_grid", "patch_masks"]


class PatchedObjective(UniformTimes):
    """Squared error inside one patch of each image, drawn from grid x grid; only there is noise.

    Reference: Behrendt et al., "Patched Diffusion Models for Unsupervised Anomaly Detection in Brain MRI" (pDDPM),
    2023, section 3, and its code.

    Differs from the paper: errors are squared, theirs absolute; times are those of the band, theirs all of the chain.

    Args:
        grid: patches along each side of the image, >= 1.
        shallowest: lower end of the band of depths, > 0.
        deepest: upper end of the band of depths.
        weighting: weight of each depth.
    """

    most: ClassVar[dict[str, float]] = {"grid": 64}

    def __init__(
        self, grid: int = 2, shallowest: float = 0.01, deepest: float = 150.0, weighting: Weighting | None = None
    ) -> None:
        super().__init__(shallowest, deepest, weighting)
        check_grid(grid)
        self.grid = grid

    def __call__(
        self, denoiser: Denoiser, noise_source: NoiseSource, x_0: Images, generator: Generator | None = None
    ) -> Scores:
        """Loss of each image, (B,)."""
        t = self.times(denoiser.schedule, len(x_0), x_0.device, generator)
        alpha_t, sigma_t = denoiser.schedule(t)
        chosen = torch.randint(self.grid**2, (len(x_0),), device=x_0.device, generator=generator)
        inside = torch.stack(patch_masks(self.grid, x_0))[chosen]  # (B, 1, H, W)
        noise = noise_source(x_0, generator)
        x_t = torch.where(inside, like(alpha_t, x_0) * x_0 + like(sigma_t, x_0) * noise, x_0)
        target = denoiser.parametrisation.target(x_0, noise, alpha_t, sigma_t)
        squares = (denoiser.backbone(x_t, t) - target).square().mean(1, keepdim=True)
        error: Scores = (squares * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)
        gain = denoiser.parametrisation.gain(alpha_t, sigma_t)
        loss: Scores = self.weighting(sigma_t / alpha_t, gain) / gain * error
        return loss


def patch_masks(grid: int, images: Images) -> list[Bool[Tensor, "1 H W"]]:
    """True inside each of grid x grid patches that cover the image, in reading order; sizes differ by a pixel."""
    height, width = images.shape[-2:]
    rows, columns = (torch.arange(side, device=images.device) * grid // side for side in (height, width))
    return [((rows == row)[:, None] & (columns == column))[None] for row in range(grid) for column in range(grid)]


def check_grid(grid: int) -> None:
    """Refuse a grid without patches."""
    if grid < 1:
        raise ValueError(f"`grid` must be at least 1, got {grid}; 1 is the whole image.")
