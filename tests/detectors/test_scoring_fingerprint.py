import copy
from pathlib import Path

import pytest
import torch
from analytic import awakened, image_batch
from frozen_networks import TinyFeatures, random_lpips
from safetensors.torch import save_file

from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.sampler import DDIM
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.features import FeatureExtractor, TimmFeatures, TorchvisionFeatures
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.networks.weights import WEIGHTS_VARIABLE
from anomaly_diffusion.reconstruction.depths import DepthList, LogRange
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.perceptual import FeatureCosineResidual
from anomaly_diffusion.scoring.pooling import TopKMean
from anomaly_diffusion.scoring.residual import L1Residual, Residual, SSIMResidual
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.settings import Configured, canonical


def settings(one: Configured) -> str:
    return canonical(one.settings)


def detector(strategy: Reconstruction, scoring: Scoring | None = None) -> PixelDetector:
    backbone, scoring = awakened(UNet(width=8, multipliers=(1, 2))), scoring or Scoring([L1Residual()])
    parts = CosineSchedule(), VelocityPrediction(), GaussianNoise(), Objective()
    return PixelDetector(backbone, *parts, strategy, scoring).eval()


def saved(trained: PixelDetector) -> dict:
    trained.calibrate([image_batch(6, seed=5)])
    trained.image_threshold.fill_(2.5)
    checkpoint = {"state_dict": copy.deepcopy(trained.state_dict())}
    trained.on_save_checkpoint(checkpoint)
    return checkpoint


def test_what_was_made_alike_is_described_alike() -> None:
    assert settings(OneShot((0.2, 0.5))) == settings(OneShot([0.2, 0.5]))
    assert settings(Scoring([L1Residual()])) == settings(Scoring([L1Residual()]))
    assert settings(FeatureCosineResidual(TinyFeatures())) == settings(FeatureCosineResidual(TinyFeatures()))
    assert settings(random_lpips()) == settings(random_lpips())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (OneShot((0.5,)), OneShot((0.6,))),
        (OneShot((0.5,)), OneShot((0.5,), draws=2)),
        (OneShot((0.5,)), PartialDiffusion((0.5,))),
        (PartialDiffusion((0.5,), sampler=DDIM(0.0)), PartialDiffusion((0.5,), sampler=DDIM(1.0))),
        (Scoring([L1Residual()]), Scoring([SSIMResidual()])),
        (Scoring(smoothing=1.0), Scoring(smoothing=2.0)),
        (Scoring(weights=[1.0]), Scoring(weights=[2.0])),
        (Scoring(pooling=TopKMean(0.01)), Scoring(pooling=TopKMean(0.02))),
        (DepthList([0.5, 1.0]), LogRange(0.5, 1.1, 2)),
        (FeatureCosineResidual(TinyFeatures()), FeatureCosineResidual(TinyFeatures(), scale=2)),
        (FeatureCosineResidual(TinyFeatures()), FeatureCosineResidual(TinyFeatures(stride=8))),
        (FeatureCosineResidual(TinyFeatures(seed=0)), FeatureCosineResidual(TinyFeatures(seed=1))),
        (random_lpips(seed=0), random_lpips(seed=1)),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_difference_in_any_setting_shows(one: Configured, other: Configured) -> None:
    assert settings(one) != settings(other)


@pytest.mark.parametrize(
    ("kind", "name", "some", "others"),
    [
        (TorchvisionFeatures, "mobilenet_v2", ("features.3", "features.6"), ("features.2", "features.6")),
        (TimmFeatures, "efficientnet_lite0", (1, 2), (0, 2)),
    ],
)
def test_a_pretrained_network_is_described_briefly(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: type[FeatureExtractor],
    name: str,
    some: tuple[str | int, ...],
    others: tuple[str | int, ...],
) -> None:
    """Random weights, written in the format of the genuine ones; the last stage of both choices is the same."""
    library = pytest.importorskip("torchvision.models" if kind is TorchvisionFeatures else "timm")
    make = library.get_model if kind is TorchvisionFeatures else library.create_model
    save_file(make(name).state_dict(), tmp_path / f"{name}.safetensors")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    texts = [settings(Scoring([FeatureCosineResidual(kind(name, stages), 2)])) for stages in (some, some, others)]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0]) < 500
    assert str(tmp_path) not in texts[0]
    assert " at 0x" not in texts[0]


def test_training_mode_and_use_are_no_difference() -> None:
    scoring, image = Scoring([SSIMResidual()]), image_batch(2).image
    before = settings(scoring)
    scoring.eval().compare(image, image[:, None], image.shape[-2:])
    assert settings(scoring) == before


def test_a_checkpoint_brings_its_calibration_to_a_detector_that_judges_alike() -> None:
    checkpoint = saved(detector(OneShot((0.5,))))
    again = detector(OneShot((0.5,)))
    assert again.is_compatible(checkpoint)
    again.on_load_checkpoint(checkpoint)
    again.load_state_dict(checkpoint["state_dict"])
    assert again.calibration.fitted
    assert float(again.image_threshold) == 2.5


@pytest.mark.parametrize("strategy", [OneShot((0.6,)), OneShot((0.2, 0.4, 0.8)), PartialDiffusion((0.5,), steps=2)])
def test_a_checkpoint_brings_only_its_weights_to_a_detector_that_judges_otherwise(strategy: Reconstruction) -> None:
    trained = detector(OneShot((0.5,)))
    checkpoint = saved(trained)
    other = detector(strategy)
    assert not other.is_compatible(checkpoint)
    other.on_load_checkpoint(checkpoint)
    other.load_state_dict(checkpoint["state_dict"])
    weights = zip(trained.denoiser.parameters(), other.denoiser.parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in weights)
    assert not other.calibration.fitted
    assert other.image_threshold.isnan()
    with pytest.raises(ValueError, match="not calibrated"):
        other(image_batch(2))


@pytest.mark.parametrize("residual", [FeatureCosineResidual(TinyFeatures(), scale=2), random_lpips(scale=2)])
def test_a_checkpoint_neither_holds_nor_misses_a_frozen_network(residual: Residual) -> None:
    plain, perceptual = saved(detector(OneShot((0.5,)))), detector(OneShot((0.5,)), Scoring([residual]))
    perceptual.on_load_checkpoint(plain)
    perceptual.load_state_dict(plain["state_dict"])
    assert not perceptual.calibration.fitted
    assert saved(perceptual)["state_dict"].keys() == plain["state_dict"].keys()


def test_a_checkpoint_that_does_not_say_how_it_judged_brings_only_its_weights() -> None:
    checkpoint = saved(detector(OneShot((0.5,))))
    del checkpoint["scoring_settings"]
    other = detector(OneShot((0.5,)))
    assert not other.is_compatible(checkpoint)
    other.on_load_checkpoint(checkpoint)
    other.load_state_dict(checkpoint["state_dict"])
    assert not other.calibration.fitted
