import cv2
import numpy as np
import pytest
import torch
from analytic import awakened, image_batch
from torch.utils.data import DataLoader
from toy_detector import trainer

from anomaly_diffusion.callbacks.sampling_trajectories import SamplingTrajectories
from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.scorer import Scoring


def detector(strategy: Reconstruction) -> PixelDetector:
    torch.manual_seed(0)
    parts = CosineSchedule(), VelocityPrediction(), GaussianNoise(), Objective()
    calibrated = PixelDetector(awakened(UNet(width=8, multipliers=(1, 2))), *parts, strategy, Scoring()).eval()
    calibrated.calibrate([image_batch(6, seed=5)])
    return calibrated


def drawn(folder, strategy, **options):
    loader = DataLoader([image_batch(4, seed=seed) for seed in range(2)], batch_size=None)
    trainer(folder, SamplingTrajectories(**options)).test(detector(strategy), loader, verbose=False)
    png = (folder / "panels" / "trajectories.png").read_bytes()
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def test_what_the_network_was_asked_is_what_the_reconstruction_is_made_of() -> None:
    batch, one_shot = image_batch(3), detector(OneShot((0.4, 0.8)))
    asked = one_shot.trace(batch)
    reconstruction = one_shot.decoded(batch).reconstruction
    assert torch.equal(torch.stack([one.x_0_hat for one in asked], dim=1), reconstruction)
    assert [round(float(one.depth[0]), 4) for one in asked] == [0.4, 0.8]


def test_watching_changes_no_verdict() -> None:
    batch, walk = image_batch(3), detector(PartialDiffusion((0.8,), steps=4))
    before = walk(batch).anomaly_map
    assert len(walk.trace(batch)) == 4
    assert torch.equal(walk(batch).anomaly_map, before)


def test_a_longer_walk_makes_a_longer_trajectory_up_to_a_limit(tmp_path) -> None:
    widths = [
        drawn(tmp_path / str(steps), PartialDiffusion((0.8,), steps=steps), evaluations=4).shape[1]
        for steps in (1, 3, 4, 9)
    ]
    assert widths[0] < widths[1] < widths[2] == widths[3]


def test_each_image_shown_adds_a_trajectory(tmp_path) -> None:
    one, three = (drawn(tmp_path / str(count), OneShot((0.5,)), count=count).shape[0] for count in (1, 3))
    assert three > 2 * one


def test_bad_settings_name_the_argument_and_the_rule() -> None:
    with pytest.raises(ValueError, match="`evaluations` must be at least 1, got 0"):
        SamplingTrajectories(evaluations=0)
    with pytest.raises(ValueError, match="`limit` must be positive, got -1"):
        SamplingTrajectories(limit=-1.0)
