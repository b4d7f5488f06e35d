"""Diffusion on features: every strategy works unchanged, and what is cached is what would have been computed."""

import pytest
import pytorch_lightning as pl
import torch
from analytic import TinyFeatures, awakened, image_batch, single
from detector_cases import QUIET, STRATEGIES, Photographs
from pytorch_lightning.utilities.seed import isolate_rng
from torch.utils.data import DataLoader

from anomaly_diffusion.detectors.encoding_cache import EncodingCache
from anomaly_diffusion.detectors.feature_detector import FeatureDetector
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.guided import Guided
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual
from anomaly_diffusion.scoring.residual import L2Residual
from anomaly_diffusion.scoring.scorer import Scoring

COMPONENTS = 5
SEEN = image_batch(24, seed=3)


def _detector(
    strategy: Reconstruction = STRATEGIES["antithetic"], views: int = 0, normalise_brightness: bool = False
) -> FeatureDetector:
    with isolate_rng():
        torch.manual_seed(0)
        return FeatureDetector(
            features=TinyFeatures(),
            backbone=awakened(UNet(COMPONENTS, width=8, multipliers=(1, 2), patch=1)),
            objective=Objective(),
            reconstruction=strategy,
            scoring=Scoring([MahalanobisResidual(), L2Residual()], calibration_sigma=2.0),
            components=COMPONENTS,
            views=views,
            normalise_brightness=normalise_brightness,
        ).eval()


def _calibrated(strategy: Reconstruction = STRATEGIES["antithetic"]) -> FeatureDetector:
    detector = _detector(strategy)
    detector.codec.fit(detector.codec.moments(SEEN.image))
    detector.learn([SEEN])
    detector.calibrate([image_batch(6, seed=5)])
    return detector


@pytest.mark.parametrize("strategy", [*STRATEGIES.values(), Guided((0.5,), steps=2)])
def test_an_image_is_judged_alone_by_every_strategy(strategy: Reconstruction) -> None:
    detector, batch = _calibrated(strategy), image_batch(4)
    together = detector(batch)
    assert together.anomaly_map.shape == (4, 1, 16, 16)
    assert together.reconstruction.shape == (4, len(strategy.depths), 3, 16, 16)
    for index in range(4):
        alone = detector(single(batch, index))
        torch.testing.assert_close(alone.anomaly_map[0], together.anomaly_map[index], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(alone.score[0], together.score[index], rtol=1e-3, atol=1e-3)


def test_a_checkpoint_holds_all_that_a_verdict_needs() -> None:
    detector, batch = _calibrated(), image_batch(3)
    restored = _detector()
    restored.load_state_dict(detector.state_dict())
    assert torch.equal(restored(batch).anomaly_map, detector(batch).anomaly_map)


def test_a_perfect_reconstruction_looks_like_its_reference() -> None:
    detector, batch = _calibrated(), image_batch(3)
    x_0 = detector.codec.encode(batch.image)
    assert torch.equal(detector.codec.picture(x_0, batch.image.shape[-2:]), detector(batch).reference)


def test_what_is_asked_of_the_network_can_be_shown() -> None:
    asked = _calibrated().trace(image_batch(2))
    assert len(asked) == 4
    assert all(one.x_t.shape == (2, 3, 16, 16) for one in asked)


def _fit(views: int, folder: object) -> FeatureDetector:
    pl.seed_everything(3, verbose=False)
    detector = _detector(views=views).train()
    loaders = (DataLoader(Photographs(count), batch_size=None) for count in (4, 2))
    pl.Trainer(max_steps=6, default_root_dir=folder, **QUIET).fit(detector, *loaders)
    return detector


def test_features_from_memory_train_the_network_that_fresh_ones_train(tmp_path) -> None:
    cached, fresh = _fit(1, tmp_path), _fit(0, tmp_path)
    assert cached.codec.fitted
    assert cached.calibration.fitted
    for ours, theirs in zip(cached.denoiser.parameters(), fresh.denoiser.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)  # memory holds half precision


def test_the_frozen_network_stays_as_it_was(tmp_path) -> None:
    before, after = _detector().codec.extractor, _fit(1, tmp_path).codec.extractor
    for ours, theirs in zip(before.state_dict().values(), after.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_cache_gives_the_view_that_is_asked_for_and_encodes_what_it_never_saw() -> None:
    cache, batch = EncodingCache(2), image_batch(3)
    for view in range(3):  # one more than it keeps
        cache.keep(batch, torch.full((3, 4, 2, 2), float(view)))
    taken = cache.take(batch, [0, 1, 2], lambda image: image)
    assert taken[:, 0, 0, 0].tolist() == [0, 1, 0]
    stranger = batch._replace(key=batch.key + 1)
    assert cache.take(stranger, [0, 0, 0], lambda image: image) is stranger.image
    with pytest.raises(ValueError, match="`views` must not be negative, got -1"):
        EncodingCache(-1)


@pytest.mark.parametrize("other", [_detector(STRATEGIES["noise-free"]), _detector(normalise_brightness=True)])
def test_a_detector_that_judges_otherwise_leaves_what_was_learnt(other: FeatureDetector) -> None:
    detector = _calibrated()
    checkpoint = {"state_dict": detector.state_dict()}
    detector.on_save_checkpoint(checkpoint)
    other.on_load_checkpoint(checkpoint)
    other.load_state_dict(checkpoint["state_dict"])
    assert not other.calibration.fitted
    assert other.codec.fitted


def test_what_has_seen_no_healthy_image_says_so() -> None:
    with pytest.raises(ValueError, match="has seen no normal image"):
        _detector().on_validation_epoch_start()
    with pytest.raises(ValueError, match="No normal training image"):
        _calibrated().learn([])


def test_components_are_learnt_from_photographs_and_not_from_their_padding() -> None:
    valid = torch.zeros_like(SEEN.valid)
    valid[..., 4:12, :] = True
    padded = SEEN._replace(valid=valid, image=torch.where(valid, SEEN.image, 0.9))
    detector = _detector(views=0)
    detector.training_batches = lambda epoch=0: [padded]
    detector.on_fit_start()
    height, width = detector.codec.extractor(SEEN.image).shape[-2:]
    assert detector.codec.count == len(SEEN.path) * width * height / 2
