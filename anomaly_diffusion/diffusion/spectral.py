"""Coloured Gaussian noise: any power spectrum, exactly Gaussian, unit variance."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Generator, Tensor

from anomaly_diffusion.diffusion.noise import MOST_OCTAVES, NoiseSource
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Images

__all__ = ["Band", "PowerLaw", "SimplexSpectrum", "SpectralNoise", "Spectrum"]

OCTAVE_POWER = (
    # log P(u) / P(0) at u = 0, 1/16, 2/16, ... cycles per unit; the test integrates the formula
    0.0,
    0.022,
    0.076,
    0.14,
    0.188,
    0.2,
    0.164,
    0.071,
    -0.084,
    -0.307,
    -0.601,
    -0.975,
    -1.435,
    -1.997,
    -2.678,
    -3.512,
    -4.553,
    -5.891,
    -7.445,
    -7.818,
    -7.524,
    -7.593,
    -8.026,
    -8.806,
    -9.941,
)
STEPS_PER_CYCLE = 16


class Spectrum(Configured, ABC):
    """How much power a field has at each frequency; only ratios count."""

    @abstractmethod
    def __call__(self, frequency: Tensor) -> Tensor:
        """Power (>= 0) at `frequency`, in cycles per pixel from 0 to 0.71, in float64."""


@dataclass(frozen=True)
class PowerLaw(Spectrum):
    """Power falling as frequency^-slope: 0 is white, 2 is like photographs, 4 is smooth clouds.

    The mean of a field (frequency 0) has the power of the lowest other frequency.

    Args:
        slope: in [-20, 20]; negative values favour fine grain.
    """

    slope: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what double precision cannot hold."""
        if not -20 <= self.slope <= 20:
            raise ValueError(f"`slope` must lie in [-20, 20], got {self.slope}.")

    def __call__(self, frequency: Tensor) -> Tensor:
        """Power at `frequency`."""
        lowest = frequency[frequency > 0].min() if (frequency > 0).any() else frequency.new_ones(())
        return frequency.clamp(min=lowest) ** -self.slope


@dataclass(frozen=True)
class Band(Spectrum):
    """Equal power from one frequency to another and none elsewhere.

    Args:
        lowest: cycles per pixel, >= 0.
        highest: cycles per pixel, above `lowest`; 0.5 is the finest that pixels hold along a side.
    """

    lowest: float
    highest: float

    def __post_init__(self) -> None:
        """Refuse an empty band."""
        if not 0 <= self.lowest < self.highest:
            raise ValueError(f"`lowest` must lie in [0, `highest`), got {self.lowest} and {self.highest}.")

    def __call__(self, frequency: Tensor) -> Tensor:
        """Power at `frequency`."""
        return ((frequency >= self.lowest) & (frequency <= self.highest)).to(frequency.dtype)


@dataclass(frozen=True)
class SimplexSpectrum(Spectrum):
    r"""The power of AnoDDPM's simplex noise.

    power(f) = sum_i persistence^(2 i) size_i^2 P(f size_i),   size_i = feature_size / 2^i
    P(u) = integral of (j_6(x) / x^5)^2 dw,   x = 2 pi sqrt(2 (u^2 + w^2)): a slice of the kernel (2 - r^2)^4 r

    Args:
        octaves: how many sizes are summed, >= 1.
        persistence: amplitude of an octave relative to the one twice as large, > 0.
        feature_size: pixels per unit of the largest octave, > 0.
    """

    octaves: int = 6
    persistence: float = 0.8
    feature_size: float = 64.0

    def __post_init__(self) -> None:
        """Refuse what is no spectrum."""
        if not 1 <= self.octaves <= MOST_OCTAVES:
            raise ValueError(f"`octaves` must lie in [1, {MOST_OCTAVES}], got {self.octaves}.")
        if not 0 < self.persistence < math.inf or not 0 < self.feature_size < math.inf:
            given = f"{self.persistence} and {self.feature_size}"
            raise ValueError(f"`persistence` and `feature_size` must be positive and finite, got {given}.")

    def __call__(self, frequency: Tensor) -> Tensor:
        """Power at `frequency`."""
        power = torch.zeros_like(frequency)
        for level in range(self.octaves):
            size = self.feature_size / 2**level
            power += (self.persistence**level * size) ** 2 * _octave_power(frequency * size)
        return power


class SpectralNoise(NoiseSource):
    r"""Gaussian fields of a chosen spectrum, drawn in Fourier space.

    field = F^-1[sqrt(power) * z],   z white and Gaussian; the fields tile the plane without a seam.

    With the spectrum of simplex noise this is simplex noise made Gaussian, for which the algebra of diffusion is exact.

    Args:
        spectrum: power at each frequency; AnoDDPM's where it is None.
        white: share of the variance, in [0, 1], that white noise has: keeps thin scratches in play.
        channel_correlation: correlation between the channels of an image, in [0, 1]: 0 makes coloured clouds, 1 grey.
    """

    def __init__(self, spectrum: Spectrum | None = None, white: float = 0.0, channel_correlation: float = 0.0) -> None:
        for name, value in (("white", white), ("channel_correlation", channel_correlation)):
            if not 0 <= value <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1], got {value}.")
        self.spectrum = spectrum or SimplexSpectrum()
        self.white, self.channel_correlation = white, channel_correlation

    def __call__(self, like: Images, generator: Generator | None = None) -> Images:
        """Fields of the shape, type and device of `like`."""
        if not like.numel():
            return torch.empty_like(like)
        images, channels, height, width = like.shape
        shared = int(self.channel_correlation > 0)
        shape = (images, channels + shared, height, width // 2 + 1, 2)
        home = like.device if generator is None else generator.device
        wave = torch.view_as_complex(torch.randn(shape, generator=generator, device=home).to(like.device))
        if shared:
            wave = self._correlated(wave)
        wave = wave * _amplitudes(self.spectrum, self.white, height, width, like.device)
        # the last transform reads the real part of the first and last columns only, which halves their power
        fields: Tensor = torch.fft.irfft(torch.fft.ifft(wave, dim=-2), n=width, dim=-1)
        return fields.to(like.dtype)

    def _correlated(self, wave: Tensor) -> Tensor:
        own, common = wave[:, :-1], wave[:, -1:]
        mixed: Tensor = (1 - self.channel_correlation) ** 0.5 * own + self.channel_correlation**0.5 * common
        return mixed


@lru_cache(maxsize=16)
def _amplitudes(spectrum: Spectrum, white: float, height: int, width: int, device: torch.device) -> Tensor:
    """What standard normal waves (height, width // 2 + 1) are multiplied by, for fields of unit variance."""
    rows = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    columns = torch.fft.rfftfreq(width, dtype=torch.float64)
    power: Tensor = spectrum((rows.square() + columns.square()).sqrt())
    twice = torch.full((width // 2 + 1,), 2.0, dtype=torch.float64)  # these columns stand for their mirror image, too
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    mean = (power * twice).sum() / (height * width)
    if not mean > 0:
        raise ValueError(f"`spectrum` must have power at some frequency of {height} x {width} pixels, got {spectrum}.")
    power = (1 - white) * power / mean + white
    # z = normal + i normal has power 2; columns that are their own mirror image keep half of it
    amplitudes: Tensor = (power * height * width / twice).sqrt().float()
    return amplitudes.to(device)


def _octave_power(cycles: Tensor) -> Tensor:
    """P(u) relative to P(0), interpolated in its logarithm; beyond the table it is below 4e-5, and left out."""
    table = cycles.new_tensor(OCTAVE_POWER)
    place = cycles * STEPS_PER_CYCLE
    left = place.long().clamp(max=len(OCTAVE_POWER) - 2)
    logarithm = torch.lerp(table[left], table[left + 1], (place - left).clamp(max=1))
    return logarithm.exp() * (place <= len(OCTAVE_POWER) - 1)
