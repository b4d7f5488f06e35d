import pytest
import torch
from analytic import TinyFeatures, seeded

from anomaly_diffusion.codecs.feature import FeatureCodec

IMAGES = torch.rand(12, 3, 32, 40, generator=seeded()) * 2 - 1


def _fitted(components: int = 6) -> FeatureCodec:
    codec = FeatureCodec(TinyFeatures(), components)
    codec.fit(codec.moments(IMAGES))
    return codec


def test_components_are_uncorrelated_and_of_unit_variance_over_what_they_were_fitted_on() -> None:
    values = _fitted().encode(IMAGES).transpose(0, 1).flatten(1).double()
    torch.testing.assert_close(values.mean(1), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.cov(values, correction=0), torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-3)


def test_the_unit_of_a_channel_does_not_matter() -> None:
    ours, other = _fitted(10), FeatureCodec(TinyFeatures(), 10)
    moments = ours.moments(IMAGES)
    scale = torch.ones(12, dtype=torch.float64)
    scale[4] = 1000.0
    other.fit(moments * torch.outer(scale, scale))
    features = ours.extractor(IMAGES)
    scaled = features.clone()
    scaled[:, 3] *= 1000
    other.extractor.forward = lambda image: scaled
    torch.testing.assert_close(other.encode(IMAGES).abs(), ours.encode(IMAGES).abs(), rtol=1e-3, atol=1e-3)


def test_all_components_explain_everything_and_fewer_explain_less() -> None:
    assert _fitted(10).explained == pytest.approx(1, abs=1e-5)
    assert 0.3 < _fitted(3).explained < _fitted(6).explained < 1


def test_moments_add_up_over_any_split() -> None:
    codec = _fitted()
    parts = codec.moments(IMAGES[:5]) + codec.moments(IMAGES[5:])
    torch.testing.assert_close(parts, codec.moments(IMAGES))


def test_the_padding_of_a_letterbox_is_not_learnt_from() -> None:
    codec, valid = _fitted(), torch.zeros(12, 1, 32, 40, dtype=torch.bool)
    valid[..., 8:24, :] = True
    features = codec.extractor(IMAGES).double()
    height = features.shape[-2]
    inside = features[..., height // 4 : 3 * height // 4, :].transpose(0, 1).flatten(1)
    found = codec.moments(IMAGES, valid)
    assert found[0, 0] == inside.shape[1]
    torch.testing.assert_close(found[1:-1, 1:-1], inside @ inside.T)


def test_a_codec_is_fitted_once_it_is_and_survives_its_state_dict() -> None:
    fresh = FeatureCodec(TinyFeatures(), 6)
    assert not fresh.fitted
    fresh.load_state_dict(_fitted().state_dict())
    assert fresh.fitted
    assert torch.equal(fresh.encode(IMAGES), _fitted().encode(IMAGES))


def test_the_picture_of_features_has_the_size_of_the_image_and_its_range() -> None:
    for components in (2, 6):
        codec = _fitted(components)
        picture = codec.picture(codec.encode(IMAGES) * 9, (32, 40))
        assert picture.shape == (12, 3, 32, 40)
        assert picture.abs().max() <= 1


def test_without_whitening_all_components_keep_the_distances_of_the_features() -> None:
    codec = FeatureCodec(TinyFeatures(), None, whiten=False)
    codec.fit(codec.moments(IMAGES))
    features, values = (found.transpose(0, 1).flatten(1).T for found in (codec.extractor(IMAGES), codec.encode(IMAGES)))
    torch.testing.assert_close(torch.cdist(values, values), torch.cdist(features, features), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(values.std(0, correction=0), codec.std, rtol=1e-3, atol=1e-4)
    fresh = FeatureCodec(TinyFeatures(), None, whiten=False)
    fresh.load_state_dict(codec.state_dict())
    shown = fresh.picture(fresh.encode(IMAGES), (8, 10))  # in standard deviations, whatever the unit of a feature
    torch.testing.assert_close(shown, (fresh.encode(IMAGES) / codec.std[:, None, None])[:, :3].div(3).clamp(-1, 1))


def test_bad_numbers_of_components_are_refused() -> None:
    with pytest.raises(ValueError, match="`components` must be at least 1, got 0"):
        FeatureCodec(TinyFeatures(), 0)
    with pytest.raises(ValueError, match="`components` must be at most 10, the channels of the stages, got 11"):
        FeatureCodec(TinyFeatures(), 11)


def test_too_few_positions_are_refused() -> None:
    codec = FeatureCodec(TinyFeatures(), 6)
    with pytest.raises(ValueError, match="10 channels of features need more positions than that to learn from, got 9"):
        codec.fit(codec.moments(IMAGES[:1, :, :12, :12]))


def test_levelled_features_do_not_see_a_change_of_light() -> None:
    darker = IMAGES[:3] * 0.8 - 0.1
    shift = _fitted().encode(darker + 0.1) - _fitted().encode(darker)
    levelled = FeatureCodec(TinyFeatures(), 6, normalise_brightness=True)
    levelled.load_state_dict(_fitted().state_dict())
    torch.testing.assert_close(levelled.encode(darker + 0.1), levelled.encode(darker), rtol=0, atol=1e-4)
    assert shift.abs().mean() > 0.01
    assert levelled.brightness == pytest.approx(IMAGES.mean().item(), abs=1e-5)
