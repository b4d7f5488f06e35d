"""Latents are normalised by normal images, and what they are compared with is a choice."""

import pytest
import torch
from analytic import seeded

from anomaly_diffusion.codecs.latent import Against, AgainstInput, AgainstLatents, AgainstRoundTrip, LatentCodec
from anomaly_diffusion.networks.autoencoder import ConvAutoencoder

IMAGES = torch.rand(10, 3, 32, 40, generator=seeded()) * 2 - 1


def _codec(against: Against | None = None, seed: int = 0) -> LatentCodec:
    torch.manual_seed(seed)
    return LatentCodec(ConvAutoencoder(4, widths=(8, 16), patch=2), against)


def _fitted(against: Against | None = None) -> LatentCodec:
    codec = _codec(against)
    codec.fit(codec.moments(IMAGES))
    return codec


def test_each_channel_has_zero_mean_and_unit_variance_over_healthy_images() -> None:
    values = _fitted().encode(IMAGES).transpose(0, 1).flatten(1).double()
    torch.testing.assert_close(values.mean(1), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-5)
    torch.testing.assert_close(values.std(1, correction=0), torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-5)


def test_moments_add_up_over_any_split() -> None:
    codec = _codec()
    torch.testing.assert_close(codec.moments(IMAGES[:3]) + codec.moments(IMAGES[3:]), codec.moments(IMAGES))


def test_the_padding_of_a_letterbox_is_not_learnt_from() -> None:
    codec, valid = _codec(), torch.zeros(10, 1, 32, 40, dtype=torch.bool)
    valid[..., 8:24, :] = True
    latent = codec.latent(IMAGES)
    height = latent.shape[-2]
    codec.fit(codec.moments(IMAGES, valid))
    inside = latent[..., height // 4 : 3 * height // 4, :].transpose(0, 1).flatten(1)
    torch.testing.assert_close(codec.offset, inside.mean(1))
    torch.testing.assert_close(codec.std, inside.std(1, correction=0))


def test_normalisation_cancels_in_a_round_trip() -> None:
    codec = _fitted()
    autoencoder = codec.autoencoder
    expected = autoencoder.decode(autoencoder.encode(IMAGES)).clamp(-1, 1)
    torch.testing.assert_close(codec.decode(codec.encode(IMAGES)), expected, rtol=1e-4, atol=1e-5)


def test_against_the_image_an_autoencoder_answers_for_its_errors_and_against_its_round_trip_it_does_not() -> None:
    for against, error in ((AgainstInput(), True), (AgainstRoundTrip(), False), (AgainstLatents(), False)):
        codec = _fitted(against)
        x_0 = codec.encode(IMAGES)
        reference, perfect = codec.reference(IMAGES, x_0), codec.decode(x_0)
        assert bool((reference - perfect).abs().max() > 0) is error
    assert _fitted().reference(IMAGES, x_0) is IMAGES


@pytest.mark.parametrize("against", [AgainstInput(), AgainstRoundTrip(), AgainstLatents()])
def test_whatever_is_compared_is_shown_in_pixels(against: Against) -> None:
    codec = _fitted(against)
    decoded = codec.decode(codec.encode(IMAGES))
    assert codec.picture(decoded, (32, 40)).shape == IMAGES.shape
    assert decoded.shape[-2:] == ((8, 10) if isinstance(against, AgainstLatents) else (32, 40))
    assert codec.picture(decoded, (32, 40)).abs().max() <= 1


def test_a_checkpoint_holds_the_normalisation_and_not_the_autoencoder() -> None:
    fitted, fresh = _fitted(), _codec()
    assert set(fitted.state_dict()) == {"offset", "std", "count"}
    assert not fresh.fitted
    fresh.load_state_dict(fitted.state_dict())
    assert fresh.fitted
    assert torch.equal(fresh.encode(IMAGES), fitted.encode(IMAGES))


def test_the_autoencoder_is_frozen() -> None:
    codec = _fitted()
    assert not list(codec.parameters())
    image = IMAGES[:2].clone().requires_grad_()
    assert not codec.encode(image).requires_grad
