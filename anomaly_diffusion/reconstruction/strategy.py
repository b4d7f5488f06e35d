"""The base class of all strategies."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.types import Images, Reconstructed

__all__ = ["Reconstruction"]


class Reconstruction(ABC):
    """Finds healthy versions of an image with a denoiser that has seen healthy images only.

    Args:
        depths: sigma_t / alpha_t from which reconstruction starts, > 0, one healthy version for each.
    """

    def __init__(self, depths: Sequence[float]) -> None:
        if not depths:
            raise ValueError("`depths` must name at least one depth, got none.")
        if min(depths) <= 0:
            raise ValueError(f"`depths` must be positive, got {min(depths)}.")
        self.depths = tuple(float(depth) for depth in sorted(depths))

    @abstractmethod
    def __call__(self, denoiser: Denoiser, x_0: Images, draw: NoiseDraw) -> Reconstructed:
        """Healthy versions of `x_0`, one per depth; all randomness comes from `draw`."""
