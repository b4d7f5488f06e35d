"""The rows that bear a paper's name rank images and pixels as published code does."""

import math

import numpy as np
import pytest
import torch
from analytic import TinyFeatures
from published import SIDE, TESTED, TRAINING, padim, patchcore, photographs
from scipy.stats import spearmanr

from anomaly_diffusion.baselines.gaussian_by_position import GaussianByPosition
from anomaly_diffusion.baselines.padim import PaDiM
from anomaly_diffusion.baselines.patchcore import PatchCore
from anomaly_diffusion.codecs.channels import RandomChannels
from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual, PositionGaussian
from anomaly_diffusion.scoring.memory import Memory
from anomaly_diffusion.scoring.scorer import Scoring

TRAIN, NORMAL, TEST = photographs(TRAINING, 1), photographs(8, 2), photographs(TESTED, 3, spoilt=True)
CHANNELS, SHARE = 6, 0.02


def shown(detector):
    """The verdict on test images of a detector that has seen the others."""
    detector.eval().codec.fit(detector.codec.moments(TRAIN.image))
    if isinstance(detector, PatchCore):
        detector.remember([TRAIN])
    if detector.scoring.learners:
        detector.learn([TRAIN])
    detector.calibrate([NORMAL])
    return detector(TEST)


def agreement(verdict, maps, scores) -> tuple[float, float]:
    """Rank correlation of pixels and of images."""
    pixels = spearmanr(verdict.anomaly_map.flatten(), maps.ravel()).statistic
    return pixels, spearmanr(verdict.score, scores).statistic


@pytest.mark.parametrize("seed", [0, 1])
def test_padim_ranks_as_the_published_one(seed) -> None:
    features = TinyFeatures(stride=2, neighbourhood=1, repeat=True)
    detector = PaDiM(features, CHANNELS, seed)
    verdict = shown(detector)
    theirs = padim(features.network, TRAIN.image, TEST.image, detector.codec.chosen.tolist())
    assert min(agreement(verdict, *theirs)) > 0.99


def test_distances_of_padim_are_the_published_ones() -> None:
    """As numbers, before anything is enlarged or smoothed."""
    features = TinyFeatures(stride=2, neighbourhood=1, repeat=True)
    detector = PaDiM(features, CHANNELS)
    shown(detector)
    x_0 = detector.codec.encode(TRAIN.image).double()
    asked = detector.codec.encode(TEST.image)
    (residual,) = detector.scoring.residuals
    found = residual.maps(asked, torch.zeros_like(asked)[:, None])[:, 0]
    for row, column in ((0, 0), (7, 3), (15, 15)):
        here = x_0[:, :, row, column].numpy()
        inverse = np.linalg.inv(np.cov(here, rowvar=False) + 0.01 * np.eye(CHANNELS))
        away = asked[:, :, row, column].double().numpy() - here.mean(0)
        expected = np.sqrt(np.einsum("bi,ij,bj->b", away, inverse, away))
        np.testing.assert_allclose(found[:, row, column], expected, rtol=1e-4)


def test_patchcore_ranks_as_the_published_one() -> None:
    features = TinyFeatures(stride=2)
    detector = PatchCore(features, Memory(SHARE, at_most=None, candidates=None, projected=128), neighbours=9)
    verdict = shown(detector)
    assert len(detector.memory.items) == math.ceil(TRAINING * (SIDE // 2) ** 2 * SHARE)
    first = detector.memory.items[0] @ detector.codec.projection + detector.codec.mean  # drawn at random in either
    theirs = patchcore(features.network, TRAIN.image, TEST.image, SHARE, first.double().numpy())
    assert min(agreement(verdict, *theirs)) > 0.99


def test_its_kin_does_not_and_is_not_called_padim() -> None:
    features = TinyFeatures(stride=4)
    detector = GaussianByPosition(features, components=CHANNELS)
    theirs = padim(TinyFeatures(stride=2, neighbourhood=1).network, TRAIN.image, TEST.image, list(range(CHANNELS)))
    assert min(agreement(shown(detector), *theirs)) < 0.99


def test_channels_are_drawn_by_the_seed_and_are_those_of_the_network() -> None:
    features = TinyFeatures(stride=2)
    codec = RandomChannels(features, 4, seed=5)
    codec.fit(codec.moments(TRAIN.image))
    whole = features(TEST.image)[:, codec.chosen]
    mean = features(TRAIN.image).mean((0, 2, 3))[codec.chosen]
    torch.testing.assert_close(codec.encode(TEST.image), whole - mean[:, None, None], rtol=1e-4, atol=1e-5)
    draws = {tuple(RandomChannels(features, 4, seed).chosen.tolist()) for seed in range(9)}
    assert len(draws) > 1
    assert all(len(set(draw)) == 4 and max(draw) < 10 for draw in draws)


@pytest.mark.parametrize("count", [0, 11])
def test_more_or_fewer_channels_than_there_are_are_refused(count) -> None:
    with pytest.raises(ValueError, match="`channels` must be at"):
        RandomChannels(TinyFeatures(), count)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`ridge` must be positive, got 0\.0"):
        PositionGaussian(0.0)
    with pytest.raises(ValueError, match="must hold a PositionGaussian"):
        PaDiM(TinyFeatures(), 4, scoring=Scoring([MahalanobisResidual()]))
