"""Forward-process noise: zero mean, unit variance, each image its own draw."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Generator, Tensor

from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Images

__all__ = [
    "MOST_OCTAVES",
    "GaussianNoise",
    "MixtureNoise",
    "NoiseDraw",
    "NoiseSource",
    "NoiseStream",
    "OffsetNoise",
    "mix",
]

MOST_OCTAVES = 32  # the coarsest of more would be larger than any photograph
NoiseDraw = Callable[[Images], Images]
"""Gives a fresh draw of the shape of its argument at every call."""


class NoiseSource(Configured, ABC):
    """Random fields of zero mean and unit variance."""

    @abstractmethod
    def __call__(self, like: Images, generator: Generator | None = None) -> Images:
        """Fields of the shape, type and device of `like`, independent from image to image."""


class GaussianNoise(NoiseSource):
    """White noise: every pixel and channel is an independent standard normal draw."""

    def __call__(self, like: Images, generator: Generator | None = None) -> Images:
        """Fields of the shape, type and device of `like`."""
        return torch.empty_like(like).normal_(generator=generator)


class OffsetNoise(NoiseSource):
    """White noise, and for each image and channel one more draw that all pixels share: brightness is corrupted too.

    field = (white + offset * shared) / sqrt(1 + offset^2)

    Reference: Guttenberg, "Diffusion with Offset Noise", 2023.

    Differs from the paper: fields are scaled to unit variance.

    Args:
        offset: standard deviation of the shared draw, >= 0; 0.1 is usual.

    Raises:
        ValueError: `offset` is negative.
    """

    def __init__(self, offset: float = 0.1) -> None:
        if not 0 <= offset < math.inf:
            raise ValueError(f"`offset` must be finite and not negative, got {offset}.")
        self.offset = offset

    def __call__(self, like: Images, generator: Generator | None = None) -> Images:
        """Fields of the shape, type and device of `like`."""
        white = torch.empty_like(like).normal_(generator=generator)
        shared = torch.empty_like(like[..., :1, :1]).normal_(generator=generator)
        corrupted: Images = (white + self.offset * shared) / (1 + self.offset**2) ** 0.5
        return corrupted


class MixtureNoise(NoiseSource):
    r"""The sum of independent fields of several sources, each with its share of the variance.

    field = sum_i sqrt(share_i) * field_i

    Args:
        sources: sources of unit variance, at least one.
        shares: shares of the variance, > 0, one per source; only their ratios count.
    """

    def __init__(self, sources: list[NoiseSource], shares: list[float]) -> None:
        if not sources or len(sources) != len(shares):
            raise ValueError(f"`shares` must name one share per source, got {len(shares)} for {len(sources)} sources.")
        if not min(shares) > 0:
            raise ValueError(f"`shares` must be positive, got {shares}. Leave out a source that has none.")
        self.sources, self.shares = sources, [share / sum(shares) for share in shares]

    def __call__(self, like: Images, generator: Generator | None = None) -> Images:
        """Fields of the shape, type and device of `like`."""
        fields = torch.zeros_like(like)
        for source, share in zip(self.sources, self.shares, strict=True):
            fields += share**0.5 * source(like, generator)
        return fields


class NoiseStream:
    """Noise that belongs to the image: decided by the seed and the image's key, never by its neighbours or the device.

    Calling it gives each image the next field of its own sequence. Until it is called, keys and seed are not looked at:
    a strategy that draws nothing can be traced, whatever they are.

    Args:
        source: where the fields come from.
        keys: one number per image, of any size.
        seed: the seed of the experiment.
    """

    def __init__(self, source: NoiseSource, keys: Sequence[int] | Tensor, seed: int | Tensor) -> None:
        self.source, self._keys, self._seed = source, keys, seed

    @cached_property
    def generators(self) -> list[Generator]:
        """One for each image."""
        keys = self._keys.tolist() if isinstance(self._keys, Tensor) else self._keys
        return [Generator().manual_seed(mix(int(self._seed), key)) for key in keys]

    def __call__(self, like: Images) -> Images:
        """Fields of the shape, type and device of `like`, whose batch holds one image per key."""
        blank = torch.empty(1, *like.shape[1:])  # not `empty_like`, which fills in the order of `like`'s memory
        fields: list[Tensor] = [self.source(blank, generator) for generator in self.generators]
        return torch.cat(fields).to(like)


def mix(*numbers: int) -> int:
    """One 63-bit seed from several integers; neighbouring inputs give unrelated seeds (SplitMix64)."""
    mixed = 0
    for number in numbers:
        mixed = (mixed + number + 0x9E3779B97F4A7C15) % 2**64
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        mixed ^= mixed >> 31
    return mixed >> 1
