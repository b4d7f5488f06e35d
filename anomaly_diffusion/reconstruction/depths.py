"""Start depths sigma_t / alpha_t of reconstruction: the same for all images, or chosen for each."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Images

__all__ = ["DepthList", "Depths", "LogRange", "as_depths", "check_depths"]


class Depths(Configured, ABC):
    """Start depths sigma_t / alpha_t of each image, shallowest first."""

    most: ClassVar[dict[str, float]] = {"count": 1000, "radius": 1000}

    @property
    @abstractmethod
    def labels(self) -> tuple[float, ...]:
        """What pictures and tables call each depth: its value, or that of the deepest choice."""

    @property
    @abstractmethod
    def deepest(self) -> float:
        """No image is ever given a greater depth."""

    @property
    def nfe(self) -> int:
        """Network evaluations that choosing takes, for each image."""
        return 0

    @abstractmethod
    def __call__(self, denoiser: Denoiser, x_0: Images, draw: NoiseDraw) -> Tensor:
        """Depths (B, D), each greater than 0; those of an image depend on no other image."""


class DepthList(Depths):
    """The same depths for every image.

    Args:
        depths: sigma_t / alpha_t, each > 0, in any order.

    Raises:
        ValueError: there is no depth, or one is not positive.
    """

    def __init__(self, depths: Sequence[float]) -> None:
        check_depths(depths, "depths")
        self.depths = tuple(float(depth) for depth in sorted(depths))

    @property
    def labels(self) -> tuple[float, ...]:
        """The depths themselves."""
        return self.depths

    @property
    def deepest(self) -> float:
        """The last of the depths."""
        return self.depths[-1]

    def __call__(self, denoiser: Denoiser, x_0: Images, draw: NoiseDraw) -> Tensor:
        """Depths (B, D), the same in every row."""
        return x_0.new_tensor(self.depths).expand(x_0.shape[0], -1)


class LogRange(DepthList):
    """depth_i = shallowest * (deepest / shallowest)^(i / (count - 1)): the same factor from each depth to the next.

    Args:
        shallowest: the first depth, > 0.
        deepest: the last depth, > shallowest.
        count: number of depths, at least 2.

    Raises:
        ValueError: the ends are out of order, or there are not two depths.
    """

    def __init__(self, shallowest: float, deepest: float, count: int) -> None:
        if not shallowest > 0:
            raise ValueError(f"`shallowest` must be positive, got {shallowest}.")
        if not deepest > shallowest:
            raise ValueError(f"`deepest` must be greater than `shallowest` = {shallowest}, got {deepest}.")
        if count < 2:
            raise ValueError(f"`count` must be at least 2, got {count}. A single depth needs no range: depths: [0.5].")
        stride = math.log(deepest / shallowest) / (count - 1)
        super().__init__([*(shallowest * math.exp(stride * step) for step in range(count - 1)), deepest])


def as_depths(depths: Depths | Sequence[float]) -> Depths:
    """The depths, of which numbers are a list."""
    return depths if isinstance(depths, Depths) else DepthList(depths)


def check_depths(depths: Sequence[float], name: str) -> None:
    """Refuse an argument `name` with no depth, or with one that is not positive."""
    if not depths:
        raise ValueError(f"`{name}` must name at least one depth, got none.")
    if not min(depths) > 0:
        raise ValueError(f"`{name}` must be positive, got {min(depths)}.")
