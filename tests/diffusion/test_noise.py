import pytest
import torch
from analytic import seeded

from anomaly_diffusion.diffusion.noise import (
    GaussianNoise,
    MixtureNoise,
    NoiseSource,
    NoiseStream,
    OffsetNoise,
    mix,
)
from anomaly_diffusion.diffusion.noise_bank import NoiseBank
from anomaly_diffusion.diffusion.pyramid import PyramidNoise
from anomaly_diffusion.diffusion.simplex import SimplexNoise
from anomaly_diffusion.diffusion.spectral import Band, PowerLaw, SimplexSpectrum, SpectralNoise

NOISES = [
    GaussianNoise(),
    OffsetNoise(),
    OffsetNoise(offset=2.0),
    SimplexNoise(),
    SimplexNoise(octaves=3, feature_size=4),
    SpectralNoise(),
    SpectralNoise(PowerLaw(1.0), white=0.3),
    SpectralNoise(Band(0.1, 0.5)),
    PyramidNoise(),
    PyramidNoise(octaves=2, feature_size=5.0),
    MixtureNoise([SpectralNoise(SimplexSpectrum(3, 0.8, 8.0)), GaussianNoise()], [3.0, 1.0]),
    NoiseBank(GaussianNoise()),
    NoiseBank(SpectralNoise(SimplexSpectrum(4, 0.8, 8.0)), size=256),
]
noises = pytest.mark.parametrize("noise", NOISES, ids=lambda noise: type(noise).__name__)


@noises
def test_noise_has_zero_mean_and_unit_variance(noise: NoiseSource) -> None:
    fields = noise(torch.empty(400, 3, 16, 16), seeded())
    # correlated fields have fewer independent values than pixels: five standard errors of 1,200 fields
    assert abs(fields.mean()) < 5 / 1200**0.5
    assert abs(fields.square().mean() - 1) < 5 * 2**0.5 / 1200**0.5


@noises
def test_no_pixel_is_noisier_than_another(noise: NoiseSource) -> None:
    fields = noise(torch.empty(4000, 1, 6, 5), seeded())
    standard_error = (2 / 4000) ** 0.5
    assert (fields.var(0) - 1).abs().max() < 5 * standard_error
    assert fields.mean(0).abs().max() < 5 / 4000**0.5


@noises
def test_noise_repeats_with_its_generator(noise: NoiseSource) -> None:
    blank = torch.empty(2, 3, 8, 9)
    assert torch.equal(noise(blank, seeded(5)), noise(blank, seeded(5)))
    assert not torch.equal(noise(blank, seeded(5)), noise(blank, seeded(6)))


@noises
def test_fields_of_a_batch_are_uncorrelated_between_images_and_channels(noise: NoiseSource) -> None:
    # smooth fields correlate by chance when there are two: on average they must not
    first, second = noise(torch.empty(2000, 2, 4, 4), seeded()).unbind(1)
    shifted = first.roll(1, dims=0)
    assert abs((first * second).mean()) < 5 / 2000**0.5
    assert abs((first * shifted).mean()) < 5 / 2000**0.5


@noises
def test_an_empty_batch_has_no_noise(noise: NoiseSource) -> None:
    assert noise(torch.empty(0, 3, 8, 8), seeded()).shape == (0, 3, 8, 8)


@noises
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_noise_has_the_type_it_is_asked_for(noise: NoiseSource, dtype: torch.dtype) -> None:
    assert noise(torch.empty(1, 1, 8, 8, dtype=dtype), seeded()).dtype == dtype


@noises
def test_the_noise_of_an_image_is_the_same_alone_and_in_any_batch(noise: NoiseSource) -> None:
    keys = [3, 2**40 + 1, 17]
    together = NoiseStream(noise, keys, seed=1)
    alone = [NoiseStream(noise, [key], seed=1) for key in keys]
    shuffled = NoiseStream(noise, keys[::-1], seed=1)
    for _ in range(3):
        fields = together(torch.empty(3, 2, 8, 8))
        assert torch.equal(fields, torch.cat([stream(torch.empty(1, 2, 8, 8)) for stream in alone]))
        assert torch.equal(fields, shuffled(torch.empty(3, 2, 8, 8)).flip(0))


@noises
def test_the_noise_of_an_image_does_not_depend_on_how_it_lies_in_memory(noise: NoiseSource) -> None:
    blank = torch.empty(1, 2, 8, 8)
    lying = blank.to(memory_format=torch.channels_last)
    assert torch.equal(NoiseStream(noise, [4], 9)(blank), NoiseStream(noise, [4], 9)(lying))


@noises
def test_the_noise_of_an_image_differs_by_seed_by_key_and_by_call(noise: NoiseSource) -> None:
    blank = torch.empty(1, 1, 8, 8)
    stream = NoiseStream(noise, [4], seed=9)
    fields = [stream(blank), stream(blank), NoiseStream(noise, [5], 9)(blank), NoiseStream(noise, [4], 10)(blank)]
    assert len({tuple(field.flatten().tolist()) for field in fields}) == 4


def test_mixed_seeds_do_not_collide_for_neighbouring_numbers() -> None:
    seeds = {mix(seed, key) for seed in range(60) for key in range(60)}
    assert len(seeds) == 3600
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_flipping_one_bit_of_a_key_flips_about_half_of_the_seed() -> None:
    flips = [(mix(0, key) ^ mix(0, key ^ (1 << bit))).bit_count() for key in range(50) for bit in range(20)]
    assert abs(sum(flips) / len(flips) - 31.5) < 1


def test_mixing_depends_on_the_order_of_its_numbers() -> None:
    assert mix(1, 2) != mix(2, 1)
    assert mix(1) != mix(1, 0)
