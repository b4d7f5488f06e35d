"""Pyramid noise: Gaussian lattices, coarse to fine, enlarged and summed."""

import math
from functools import lru_cache

import torch
from torch import Generator, Tensor

from anomaly_diffusion.diffusion.noise import MOST_OCTAVES, NoiseSource
from anomaly_diffusion.types import Images

__all__ = ["PyramidNoise"]


class PyramidNoise(NoiseSource):
    r"""Gaussian values on coarser and coarser lattices, enlarged smoothly and summed: exactly Gaussian, any size.

    field = sum_i persistence^i * W_y(size_i) lattice_i W_x(size_i)^T / norm,   size_i = feature_size / 2^i

    W holds cubic B-splines, each row scaled to length one: plain interpolation would halve the variance between the
    nodes. A lattice as fine as the pixels is taken as it is, that is white noise.

    Args:
        octaves: how many lattices are summed, >= 1.
        persistence: amplitude of a lattice relative to the one twice as coarse, > 0.
        feature_size: pixels between the nodes of the coarsest lattice, >= 2^(octaves - 1).
    """

    def __init__(self, octaves: int = 6, persistence: float = 0.8, feature_size: float = 32.0) -> None:
        if not 1 <= octaves <= MOST_OCTAVES:
            raise ValueError(f"`octaves` must lie in [1, {MOST_OCTAVES}], got {octaves}.")
        if not 0 < persistence < math.inf:
            raise ValueError(f"`persistence` must be positive and finite, got {persistence}.")
        if not feature_size >= 2 ** (octaves - 1):
            raise ValueError(
                f"`feature_size` must be at least 2^(`octaves` - 1) = {2 ** (octaves - 1)} pixels, got {feature_size}: "
                "no lattice is finer than the pixels. Choose another size or fewer octaves."
            )
        self.octaves, self.persistence, self.feature_size = octaves, persistence, feature_size

    def __call__(self, like: Images, generator: Generator | None = None) -> Images:
        """Fields of the shape, type and device of `like`."""
        images, channels, height, width = like.shape
        home = like.device if generator is None else generator.device
        amplitude = 1 / sum(self.persistence ** (2 * level) for level in range(self.octaves)) ** 0.5
        fields = torch.zeros(like.shape, device=like.device)
        for level in range(self.octaves):
            down, across = (_enlarging(pixels, self.feature_size / 2**level, like.device) for pixels in (height, width))
            shape = (images, channels, down.shape[1], across.shape[1])
            lattice = torch.randn(shape, generator=generator, device=home).to(like.device)
            fields += down @ (lattice * (amplitude * self.persistence**level)) @ across.T
        return fields.to(like.dtype)


@lru_cache(maxsize=64)
def _enlarging(pixels: int, size: float, device: torch.device) -> Tensor:
    """Cubic B-splines around nodes `size` pixels apart, (pixels, nodes); each row has length one."""
    if size == 1:
        return torch.eye(pixels, device=device)
    place = torch.arange(pixels, dtype=torch.float64) / size
    nodes = torch.arange(-1, int((pixels - 1) / size) + 3, dtype=torch.float64)
    distance = (place[:, None] - nodes).abs()
    spline: Tensor = (2 - distance).clamp(min=0) ** 3 - 4 * (1 - distance).clamp(min=0) ** 3
    rows: Tensor = spline / spline.square().sum(dim=1, keepdim=True).sqrt()
    return rows.float().to(device)
