"""Checkpoints written before settings were recorded keep weights, calibration and thresholds, and judge as they did.

Files and what their own code made of them lie in tests/checkpoints; pictures are formulas, alike on every machine.
Predictions of `pixel` are told anew since SSIM keeps its digits: in float64 the first score is 11.398095, which their
code told as 11.398387 and today's tells as 11.398095.
"""

import importlib
import json
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest
import torch

import anomaly_diffusion.baselines.strength
from anomaly_diffusion import diffusion, reconstruction, scoring
from anomaly_diffusion.detectors import old_checkpoints
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.detectors.feature_detector import FeatureDetector
from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.autoencoder import ConvAutoencoder
from anomaly_diffusion.networks.features import AutoencoderFeatures
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual
from anomaly_diffusion.scoring.nearest import NearestResidual
from anomaly_diffusion.scoring.pooling import TopKMean
from anomaly_diffusion.scoring.residual import L1Residual, SSIMResidual
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import ImageBatch

FOLDER = Path(__file__).parents[1] / "checkpoints"
TOLD = json.loads((FOLDER / "told_by_their_code.json").read_text())


def pixel(strategy: Reconstruction | None = None, sigma: float | None = 2.0) -> Detector:
    parts = CosineSchedule(), VelocityPrediction(), GaussianNoise(), Objective(deepest=1.5)
    scoring = Scoring([L1Residual(), SSIMResidual()], pooling=TopKMean(0.02), calibration_sigma=sigma)
    return PixelDetector(UNet(1, 8, (1,)), *parts, strategy or OneShot([0.3, 0.8], draws=2), scoring).eval()


def feature() -> Detector:
    scoring = Scoring([MahalanobisResidual(), NearestResidual(at_most=64)], calibration_sigma=2.0)
    features = AutoencoderFeatures(ConvAutoencoder(4, (8, 8)), stride=2)
    backbone, walk = UNet(4, 8, (1,), patch=1), PartialDiffusion([1.0], steps=2)
    return FeatureDetector(features, backbone, Objective(0.5, 4.0), walk, scoring, components=4).eval()


MAKE = {"pixel": pixel, "feature": feature}


def pictures() -> ImageBatch:
    place = torch.arange(3 * 16 * 16, dtype=torch.float64).reshape(3, 1, 16, 16)
    image = (0.8 * torch.sin(place * 0.37) + 0.2 * torch.cos(place * place * 0.011)).float()
    none = torch.zeros_like(image, dtype=torch.bool)
    key, size = torch.arange(3) * 7919 + 11, torch.tensor([[16, 16]]).repeat(3, 1)
    return ImageBatch(
        image, none, ~none, key < 0, torch.zeros_like(key), key, size, [f"{number}.png" for number in key.tolist()]
    )


def loaded(detector: Detector, name: str) -> Detector:
    checkpoint = torch.load(FOLDER / f"{name}.ckpt", weights_only=True)
    detector.on_load_checkpoint(checkpoint)
    detector.load_state_dict(checkpoint["state_dict"])
    return detector


@pytest.mark.parametrize("name", MAKE)
def test_weights_calibration_and_thresholds_are_those_of_the_file_and_so_are_predictions(name: str) -> None:
    detector, expected = loaded(MAKE[name](), name), TOLD["predictions"][name]
    stored = torch.load(FOLDER / f"{name}.ckpt", weights_only=True)["state_dict"]
    held = detector.state_dict()
    assert all(torch.equal(held[key], tensor) for key, tensor in old_checkpoints.renamed(stored).items())
    assert detector.calibration.fitted
    assert float(detector.image_threshold) == expected["image_threshold"]
    found = detector(pictures())
    assert found.nfe == expected["nfe"]
    maps = found.anomaly_map.double().flatten(1)
    for name, value in {"score": found.score, "map_max": maps.amax(1), "map_sum": maps.sum(1)}.items():
        torch.testing.assert_close(value.double(), torch.tensor(expected[name]).double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("other", [pixel(OneShot([0.3, 0.8])), pixel(PartialDiffusion([0.3, 0.8])), pixel(sigma=None)])
def test_a_calibration_for_other_settings_is_left(other: Detector) -> None:
    assert not loaded(other, "pixel").calibration.fitted


def known() -> dict[str, object]:
    """All classes of three rooms, by name."""
    rooms: list[ModuleType] = [diffusion, reconstruction, scoring]
    names = [f"{room.__name__}.{found.name}" for room in rooms for found in pkgutil.iter_modules(room.__path__)]
    modules = [importlib.import_module(name) for name in names] + [anomaly_diffusion.baselines.strength]
    return {name: value for module in modules for name, value in vars(module).items() if isinstance(value, type)}


def test_whatever_can_be_set_is_described_as_the_code_of_then_described_it() -> None:
    """Each line of the file is an expression and what that code made of it."""
    classes = {**known(), "__builtins__": {}}
    found = {made: old_checkpoints.described(eval(made, classes)) for made in TOLD["texts"]}
    assert found == TOLD["texts"]


def test_tensors_that_were_renamed_are_found_by_their_old_names() -> None:
    assert old_checkpoints.renamed({"codec.spread": 1, "spread": 2, "codec.mean": 3}) == {
        "codec.std": 1, "std": 2, "codec.mean": 3
    }  # fmt: skip
