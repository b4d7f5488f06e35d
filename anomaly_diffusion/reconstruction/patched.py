"""Patched one-shot reconstruction (pDDPM): noise one patch of the image, estimate it from what lies around it."""

from collections.abc import Sequence
from typing import ClassVar

import torch

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.diffusion.patches import check_grid, patch_masks
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.partial_diffusion import noised
from anomaly_diffusion.reconstruction.strategy import Reconstruction, Restored
from anomaly_diffusion.types import Images, Times

__all__ = ["PatchedOneShot"]


class PatchedOneShot(Reconstruction):
    """E[x_0 | x_t] of each of grid x grid patches, of which it alone is noised; put together they are the image.

    x_t = alpha_t * x_0 + sigma_t * noise inside the patch, x_0 outside

    Deep noise may thus hide a defect whole, and the model still sees where the patch belongs. Train with
    `PatchedObjective` of the same grid: a network that has only seen whole images noised does not know such x_t.

    Reference: Behrendt et al., "Patched Diffusion Models for Unsupervised Anomaly Detection in Brain MRI" (pDDPM),
    2023, section 3, and its code. Their depth is 3.4 (t = 500 of the linear schedule), their grid 2 (48 of 96 pixels).

    Differs from the paper: patches meet and do not overlap, as in the published settings; the noise is that of the
    detector, theirs simplex.

    Args:
        depths: sigma_t / alpha_t of each evaluation, > 0.
        grid: patches along each side of the image, >= 1; 1 is `OneShot` with one draw.

    Raises:
        ValueError: `depths` or `grid` is not positive.
    """

    most: ClassVar[dict[str, float]] = {"grid": 64}

    def __init__(self, depths: Depths | Sequence[float] = (3.42,), grid: int = 2) -> None:
        super().__init__(depths)
        check_grid(grid)
        self.grid = grid

    @property
    def evaluations(self) -> int:
        """One a patch."""
        return self.grid**2

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The estimates of all patches, side by side."""
        t = denoiser.schedule.time(depth)
        x_t = noised(denoiser, x_0, t, draw(x_0))
        whole = torch.zeros_like(x_0)
        for mask in patch_masks(self.grid, x_0):
            whole = torch.where(mask, denoiser(torch.where(mask, x_t, x_0), t).x_0, whole)
        return Restored(whole)
