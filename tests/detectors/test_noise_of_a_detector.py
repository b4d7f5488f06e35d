import pytest
import torch
from analytic import awakened, image_batch
from torch import Generator

from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import NoiseSource
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.sampler import DDIM
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.diffusion.simplex import SimplexNoise
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.guided import Guided
from anomaly_diffusion.reconstruction.mask_stitch import MaskStitchResample
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.posterior import PosteriorAverage
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Images

STRATEGIES = [
    OneShot((0.5,), draws=2),
    PartialDiffusion((0.8,), steps=3, sampler=DDIM(eta=1.0)),
    Guided((0.8,), steps=3, sampler=DDIM(eta=1.0)),
    MaskStitchResample((0.8,), steps=3),
    PosteriorAverage((0.8,), samples=2, steps=2),
]


class Counted(NoiseSource):
    """Simplex noise that counts how often it is asked, and lets nobody else draw a normal number."""

    def __init__(self) -> None:
        self.source, self.calls = SimplexNoise(octaves=2, feature_size=8), 0

    def __call__(self, like: Images, generator: Generator | None = None) -> Images:
        self.calls += 1
        return self.source(like, generator)


@pytest.fixture
def no_white_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way to a normal number fails."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("white noise was drawn")

    for owner, name in ((torch, "randn"), (torch, "randn_like"), (torch, "normal"), (torch.Tensor, "normal_")):
        monkeypatch.setattr(owner, name, refuse)


def detector(strategy: Reconstruction, noise: NoiseSource) -> PixelDetector:
    backbone = awakened(UNet(width=8, multipliers=(1, 2)))
    parts = CosineSchedule(), VelocityPrediction(), noise, Objective()
    return PixelDetector(backbone, *parts, strategy, Scoring()).eval()


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_a_model_of_simplex_noise_is_scored_with_simplex_noise_and_no_other(
    strategy: Reconstruction, request: pytest.FixtureRequest
) -> None:
    noise = Counted()
    simplex = detector(strategy, noise)
    request.getfixturevalue("no_white_noise")
    simplex.calibrate([image_batch(4)])
    assert noise.calls >= 3  # three of the four images are normal, and each has its own draws


def test_a_model_of_simplex_noise_learns_from_simplex_noise_and_no_other(request: pytest.FixtureRequest) -> None:
    noise = Counted()
    simplex, batch = detector(OneShot((0.5,)), noise), image_batch(4)
    request.getfixturevalue("no_white_noise")
    loss = simplex.objective(simplex.denoiser, simplex.noise, batch.image, Generator().manual_seed(0))
    assert noise.calls == 1
    assert loss.isfinite().all()
