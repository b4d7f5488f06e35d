"""Base class of reconstruction strategies."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.reconstruction.depths import Depths, as_depths
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Images, Maps, Reconstructed, Times

__all__ = ["Reconstruction", "Restored", "check_steps"]


class Restored(NamedTuple):
    """What comes of one depth.

    Attributes:
        x_0: reconstructions in model space.
        anomaly_maps: maps of the strategy's own, which take the place of residuals; larger is worse, >= 0.
    """

    x_0: Images
    anomaly_maps: Maps | None = None


class Reconstruction(Configured, ABC):
    """Finds reconstructions of an image with a denoiser that has seen normal images only.

    Args:
        depths: sigma_t / alpha_t from which reconstruction starts, > 0, one reconstruction for each.

    Raises:
        ValueError: `depths` are not positive.
    """

    most: ClassVar[dict[str, float]] = {"steps": 10_000, "samples": 1024, "radius": 1000, "dilation": 1000}

    provides_maps: ClassVar[bool] = False
    """Whether the strategy brings maps of its own, which take the place of residuals."""

    steps: int = 1
    """Steps between the start of a walk and the clean image."""

    def __init__(self, depths: Depths | Sequence[float]) -> None:
        self.start = as_depths(depths)

    @property
    def depths(self) -> tuple[float, ...]:
        """Nominal depth of each reconstruction."""
        return self.start.labels

    @property
    def deepest(self) -> float:
        """The greatest depth at which the network is ever asked."""
        return self.start.deepest

    @property
    @abstractmethod
    def evaluations(self) -> int:
        """Network evaluations that each depth takes, for each image."""

    @abstractmethod
    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """Reconstructions of `x_0`, each from its own `depth`; all randomness comes from `draw`."""

    def __call__(self, denoiser: Denoiser, x_0: Images, draw: NoiseDraw) -> Reconstructed:
        """Reconstructions of `x_0`, one per depth."""
        depths = self.start(denoiser, x_0, draw)
        restored = [self.restore(denoiser, x_0, depth, draw) for depth in depths.unbind(dim=1)]
        reconstruction = torch.stack([one.x_0 for one in restored], dim=1)
        anomaly_maps = [one.anomaly_maps for one in restored if one.anomaly_maps is not None]
        nfe = self.start.nfe + len(restored) * self.evaluations
        return Reconstructed(reconstruction, nfe, torch.cat(anomaly_maps, dim=1) if anomaly_maps else None)


def check_steps(steps: int) -> None:
    """Refuse a walk that takes none."""
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1, got {steps}.")
