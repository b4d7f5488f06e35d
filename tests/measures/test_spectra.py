import cv2
import numpy as np
import pytest
import torch

from anomaly_diffusion.figures.spectra_chart import spectra_chart
from anomaly_diffusion.measures.spectra import (
    BANDS,
    frequencies,
    radial_spectrum,
    retained,
    spectrum_ratio,
    window,
)


def noise(*shape, seed=0, scale=0.2):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def blurred(images, sigma):
    """Gaussian blur by its transfer function exp(-2 (pi sigma f)^2)."""
    f_y, f_x = (
        torch.fft.fftfreq(side)[:, None] if axis else torch.fft.fftfreq(side)
        for axis, side in ((1, images.shape[-2]), (0, images.shape[-1]))
    )
    transfer = torch.exp(-2 * (torch.pi * sigma) ** 2 * (f_y**2 + f_x**2))
    return torch.fft.ifft2(torch.fft.fft2(images) * transfer).real


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_a_blur_has_the_square_of_its_transfer_function(sigma):
    images = noise(8, 3, 96, 128)
    ratio = spectrum_ratio(radial_spectrum(images), radial_spectrum(blurred(images, sigma))).mean(0)
    f = frequencies(len(ratio))
    expected = torch.exp(-4 * (torch.pi * sigma * f) ** 2).float()
    seen = expected > 1e-3
    torch.testing.assert_close(ratio[seen], expected[seen], rtol=0.12, atol=0.002)


def test_white_noise_has_its_variance_at_every_frequency():
    power = radial_spectrum(noise(32, 1, 64, 48, scale=0.3)).mean(0)
    torch.testing.assert_close(power[2:], torch.full_like(power[2:], 0.09), rtol=0.15, atol=0)
    assert power[0] < power[2]  # the mean of each image has been taken away


@pytest.mark.parametrize("cycles", [4, 10, 20])
def test_a_wave_has_its_power_at_its_frequency(cycles):
    wave = torch.sin(2 * torch.pi * cycles * torch.arange(64) / 64).expand(1, 1, 64, 64)
    power = radial_spectrum(wave)[0]
    assert abs(float(frequencies(len(power))[power.argmax()]) - cycles / 64) <= 1 / 64
    torch.testing.assert_close(power, radial_spectrum(wave.transpose(2, 3))[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("size", [(16, 16), (9, 14), (15, 32), (65, 65)])
def test_a_copy_keeps_everything_whatever_its_size(size):
    power = radial_spectrum(noise(2, 3, *size))
    assert (spectrum_ratio(power, power) == 1).all()
    assert (retained(power, power) == 1).all()


@pytest.mark.parametrize("size", [(16, 16), (9, 14), (64, 64), (65, 200), (256, 256)])
def test_every_interval_sees_white_noise(size):
    assert (radial_spectrum(noise(1, 1, *size)) > 1e-4).all()


def test_a_flat_image_and_its_copy_in_another_shade_are_alike():
    flat, other = (radial_spectrum(torch.full((1, 1, 32, 32), shade)) for shade in (0.1, 0.7))
    torch.testing.assert_close(retained(flat, other), torch.ones(1, 3), rtol=0, atol=1e-3)


def test_blur_takes_fine_structure_first_and_noise_adds_it():
    images = noise(4, 1, 96, 96)
    power = radial_spectrum(images)
    coarse, middle, fine = retained(power, radial_spectrum(blurred(images, 1.0))).mean(0)
    assert 0.85 < coarse < 1
    assert fine < 0.35 < middle < coarse
    more = retained(power, radial_spectrum(images + noise(4, 1, 96, 96, seed=1)))
    torch.testing.assert_close(more.mean(0)[1:], torch.full((2,), 2.0), rtol=0.15, atol=0)


def test_what_is_outside_has_no_say():
    images, inside = noise(2, 1, 48, 48), torch.ones(2, 1, 48, 48, dtype=torch.bool)
    inside[..., 36:] = False
    inside[1, 0, 10:20, 5:12] = False
    spoilt = torch.where(inside, images, torch.rand(images.shape))
    torch.testing.assert_close(radial_spectrum(images, inside), radial_spectrum(spoilt, inside))
    assert (window(inside)[~inside] == 0).all()


def test_the_window_of_a_whole_image_is_that_of_hann():
    expected = np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (12, 20)))
    np.testing.assert_allclose(window(torch.ones(1, 1, 12, 20, dtype=torch.bool))[0, 0], expected, atol=1e-6)


def test_an_image_without_pixels_gives_numbers_all_the_same():
    nothing = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    assert (radial_spectrum(noise(1, 3, 16, 16), nothing) == 0).all()


def test_a_spectrum_does_not_depend_on_the_batch():
    images = noise(3, 3, 32, 32)
    torch.testing.assert_close(radial_spectrum(images)[1:2], radial_spectrum(images[1:2]))


def test_no_interval_at_all_is_refused():
    with pytest.raises(ValueError, match="`bins` must be at least 1, got 0"):
        radial_spectrum(noise(1, 1, 16, 16), bins=0)


def test_bands_cover_all_frequencies_once():
    ends = [end for band in BANDS.values() for end in band]
    assert ends[0] == 0
    assert ends[-1] == 0.5
    assert ends[1:-1:2] == ends[2:-1:2]


def test_the_chart_shows_what_is_lost_and_the_codec_only_where_it_loses():
    f, power = frequencies(32).numpy(), np.linspace(2, 1, 32)
    reconstruction = [{f"depth {depth}": power * depth for depth in depths} for depths in ((0.25, 0.5), (0.9, 1.0))]
    charts = [
        spectra_chart(f, power, power * codec, one)
        for codec, one in ((1, reconstruction[0]), (1, reconstruction[1]), (0.5, reconstruction[0]))
    ]
    lost, kept, codec = (cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int) for png in charts)
    assert lost.shape == kept.shape == codec.shape
    for other in (kept, codec):
        assert (np.abs(lost - other).max(2) > 30).sum() > 500


def test_power_many_times_too_large_stays_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = []
    monkeypatch.setattr("anomaly_diffusion.figures.spectra_chart.png", lambda figure: figures.append(figure) or b"")
    f, power = frequencies(32).numpy(), np.linspace(2, 1, 32)
    for factor in (0.5, 20.0):
        spectra_chart(f, power, power, {"depth 0.5": power * factor})
    (low, high), (least, most) = (figure.axes[1].get_ylim() for figure in figures)
    assert low == 0
    assert high > 1
    assert least < 20 < most
    assert [figure.axes[1].get_yscale() for figure in figures] == ["linear", "log"]
