"""Spectra, pyramids, mixtures and banks hold what they promise."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from analytic import seeded
from scipy.special import spherical_jn

from anomaly_diffusion.diffusion.noise import GaussianNoise, MixtureNoise
from anomaly_diffusion.diffusion.noise_bank import NoiseBank
from anomaly_diffusion.diffusion.pyramid import PyramidNoise
from anomaly_diffusion.diffusion.simplex import SimplexNoise
from anomaly_diffusion.diffusion.spectral import Band, PowerLaw, SimplexSpectrum, SpectralNoise, _octave_power


def power_of(fields):
    """Mean power per mode, (H, W)."""
    return torch.fft.fft2(fields.double(), norm="ortho").abs().square().mean((0, 1))


def frequencies(height, width):
    rows, columns = (torch.fft.fftfreq(side, dtype=torch.float64) for side in (height, width))
    return (rows[:, None].square() + columns.square()).sqrt()


@pytest.mark.parametrize("size", [(16, 16), (15, 12), (12, 15), (9, 9)])
@pytest.mark.parametrize("spectrum", [PowerLaw(1.5), Band(0.1, 0.3), SimplexSpectrum(2, 0.8, 6.0)])
def test_every_mode_has_the_power_of_the_spectrum(spectrum, size):
    fields = SpectralNoise(spectrum)(torch.empty(4000, 1, *size), seeded())
    wanted = spectrum(frequencies(*size))
    wanted /= wanted.mean()
    # power of a mode is exponential, of one that is its own mirror image chi-squared: five standard errors
    assert ((power_of(fields) - wanted).abs() <= 5 * (2 / 4000) ** 0.5 * wanted + 1e-9).all()


def test_spectral_noise_is_gaussian():
    fields = SpectralNoise()(torch.empty(400, 3, 32, 32), seeded(1))
    few = fields[..., ::16, ::16].flatten()
    assert abs(few.pow(4).mean() - 3) < 0.4
    assert abs(few.pow(3).mean()) < 0.2


@pytest.mark.parametrize("white", [0.0, 0.3, 1.0])
def test_white_noise_has_its_share_of_the_variance(white):
    power = power_of(SpectralNoise(Band(0.0, 0.2), white=white)(torch.empty(2000, 1, 16, 16), seeded()))
    assert power[frequencies(16, 16) > 0.2].mean().item() == pytest.approx(white, abs=0.01)


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
def test_channels_are_correlated_as_asked(correlation):
    fields = SpectralNoise(PowerLaw(1.0), channel_correlation=correlation)(torch.empty(2000, 3, 8, 8), seeded())
    assert (fields[:, 0] * fields[:, 2]).mean().item() == pytest.approx(correlation, abs=0.05)
    assert fields.square().mean().item() == pytest.approx(1, abs=0.05)


def test_the_spectrum_of_simplex_noise_is_that_of_simplex_noise():
    fields = SimplexNoise(octaves=3, feature_size=32)(torch.empty(24, 6, 256, 256), seeded())
    window = torch.hann_window(256, periodic=False, dtype=torch.float64)
    measured = power_of(fields * window[:, None] * window)
    wanted, frequency = SimplexSpectrum(3, 0.8, 32.0)(frequencies(256, 256)), frequencies(256, 256)
    edges = torch.tensor([0.02, 0.04, 0.06, 0.08, 0.11])
    bands = [(frequency >= low) & (frequency < high) for low, high in pairwise(edges.tolist())]
    ratios = torch.stack([measured[band].sum() / wanted[band].sum() for band in bands])
    assert torch.allclose(ratios / ratios.mean(), torch.ones(4, dtype=torch.float64), atol=0.1)


def test_the_table_of_the_octave_is_the_integral():
    def slice_of(cycles):
        x = 2 * np.pi * np.sqrt(2 * (cycles**2 + np.linspace(0, 6, 20001) ** 2)).clip(1e-3)
        return ((spherical_jn(6, x) / x**5) ** 2).sum()

    cycles = torch.arange(0, 1.5, 0.05, dtype=torch.float64)
    exact = torch.tensor([slice_of(float(u)) for u in cycles], dtype=torch.float64) / slice_of(0.0)
    assert torch.allclose(_octave_power(cycles), exact, rtol=0.02, atol=1e-4)
    assert _octave_power(torch.tensor([2.0, 40.0])).eq(0).all()


@pytest.mark.parametrize("size", [(64, 64), (33, 20)])
def test_no_pixel_of_a_pyramid_is_noisier_though_most_lie_between_the_nodes(size):
    fields = PyramidNoise(octaves=2, feature_size=8.0)(torch.empty(4000, 1, *size), seeded())
    assert (fields.var(0) - 1).abs().max() < 6 * (2 / 4000) ** 0.5


def test_a_mixture_has_the_shares_of_its_sources():
    mixture = MixtureNoise([SpectralNoise(Band(0.0, 0.2)), SpectralNoise(Band(0.3, 0.5))], [1.0, 3.0])
    power = power_of(mixture(torch.empty(1000, 1, 16, 16), seeded()))
    assert (power[frequencies(16, 16) <= 0.2].sum() / power.sum()).item() == pytest.approx(0.25, abs=0.01)


def test_draws_from_a_bank_are_uncorrelated():
    fields = NoiseBank(SpectralNoise(SimplexSpectrum(4, 0.8, 16.0)), size=256)(torch.empty(200, 1, 32, 32), seeded())
    correlation = torch.corrcoef(fields.flatten(1))[torch.triu(torch.ones(200, 200), 1) > 0]
    assert abs(correlation.mean()) < 0.01
    fresh = SpectralNoise(SimplexSpectrum(4, 0.8, 16.0))(torch.empty(200, 1, 32, 32), seeded())
    usual = torch.corrcoef(fresh.flatten(1))[torch.triu(torch.ones(200, 200), 1) > 0]
    assert correlation.std() < 1.2 * usual.std()


@pytest.mark.parametrize("source", [PyramidNoise(3, 0.8, 16.0), SimplexNoise(3, 0.8, 16)])
def test_a_bank_has_no_seam(source):
    bank = NoiseBank(source, size=64, count=8)._bank(64, 64, torch.device("cpu"))
    steps = bank.diff(dim=-1).square().mean((0, 1))
    assert steps.max() < 4 * steps.median()  # at a seam: about fifty times


def test_a_bank_is_the_same_whoever_fills_it():
    bank, blank = NoiseBank(GaussianNoise(), size=32), torch.empty(2, 3, 8, 8)
    first = bank(blank, seeded())
    assert not copy.deepcopy(bank)._banks
    assert torch.equal(first, copy.deepcopy(bank)(blank, seeded()))
    assert torch.equal(first, NoiseBank(GaussianNoise(), size=32)(blank, seeded()))


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: SpectralNoise(white=1.5), "`white` must lie in"),
        (lambda: SpectralNoise(channel_correlation=-0.1), "`channel_correlation` must lie in"),
        (lambda: Band(0.3, 0.2), "`lowest` must lie in"),
        (lambda: SimplexSpectrum(octaves=0), r"`octaves` must lie in \[1, 32\], got 0"),
        (lambda: SimplexSpectrum(persistence=0.0), "`persistence` and `feature_size` must be positive and finite"),
        (lambda: SpectralNoise(Band(0.6, 0.9))(torch.empty(1, 1, 4, 1)), "`spectrum` must have power"),
        (lambda: PyramidNoise(octaves=0), r"`octaves` must lie in \[1, 32\], got 0"),
        (lambda: PyramidNoise(persistence=-1.0), "`persistence` must be positive and finite"),
        (lambda: PyramidNoise(octaves=6, feature_size=16.0), "`feature_size` must be at least .* = 32 .* got 16"),
        (lambda: MixtureNoise([], []), "`shares` must name one share per source"),
        (lambda: MixtureNoise([GaussianNoise()], [0.0]), "`shares` must be positive"),
        (lambda: NoiseBank(GaussianNoise(), size=1), "`size` must be at least 2"),
        (lambda: NoiseBank(GaussianNoise(), count=0), "`count` must be at least 1"),
        (lambda: NoiseBank(GaussianNoise(), size=8)(torch.empty(1, 1, 9, 4)), "`size` must be at least the side"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()
