"""A detector that judges at several scales: each scale is judged as it would be alone, and all are one verdict."""

from collections.abc import Sequence

import pytest
import torch
from analytic import awakened, image_batch, single
from detector_cases import STRATEGIES
from pytorch_lightning.utilities.seed import isolate_rng
from torch.nn import functional as F

from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.activations import ActivationResidual
from anomaly_diffusion.scoring.nearest import NearestResidual
from anomaly_diffusion.scoring.residual import L1Residual, L2Residual, Residual, SSIMResidual
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import ImageBatch

SIDE = 32


def _detector(
    scales: Sequence[float], residuals: Sequence[Residual], strategy: Reconstruction | None = None
) -> PixelDetector:
    with isolate_rng():
        torch.manual_seed(0)
        return PixelDetector(
            backbone=awakened(UNet(width=8, multipliers=(1, 2), coordinates=True)),
            schedule=CosineSchedule(),
            parametrisation=VelocityPrediction(),
            noise=GaussianNoise(),
            objective=Objective(),
            reconstruction=strategy or OneShot([0.3, 0.8], draws=0),
            scoring=Scoring(list(residuals)),
            scales=scales,
        ).eval()


def _photographs(count: int, seed: int) -> ImageBatch:
    return image_batch(count, SIDE, SIDE, seed)


def _smaller(batch: ImageBatch, scale: int) -> ImageBatch:
    valid = F.avg_pool2d(batch.valid.float(), scale) > 0.5
    return batch._replace(image=F.avg_pool2d(batch.image, scale), valid=valid)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_maps_of_each_scale_are_those_of_a_detector_of_that_scale(strategy):
    both, alone = (_detector(scales, [L1Residual(), SSIMResidual()], strategy) for scales in ([1.0, 0.5], [1.0]))
    batch = _photographs(3, seed=1)
    with torch.no_grad():
        found = both.residual_maps(batch, both.decoded(batch))
        fine = alone.residual_maps(batch, alone.decoded(batch))
        half = _smaller(batch, 2)
        coarse = alone.residual_maps(half, alone.decoded(half))
    count = fine.shape[1]
    assert found.shape[1] == 2 * count
    torch.testing.assert_close(found[:, :count], fine)
    enlarged = F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[:, count:], enlarged)


def test_what_is_learnt_of_each_scale_is_what_a_detector_of_that_scale_learns():
    def residuals() -> list[Residual]:
        return [ActivationResidual(NearestResidual(context=0.0), components=4, stride=4), L1Residual()]

    both, alone = (_detector(scales, residuals()) for scales in ([1.0, 0.5], [1.0]))
    normals = _photographs(6, seed=2)
    both.learn([normals])
    alone.learn([normals])
    assert both.scoring.state_dict().keys() == alone.scoring.state_dict().keys()
    for mine, theirs in zip(both.scoring.state_dict().values(), alone.scoring.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs)
    alone.learn([_smaller(normals, 2)])
    for mine, theirs in zip(both.coarser[0].state_dict().values(), alone.scoring.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_scales_are_fused_and_depths_keep_their_maps_and_pictures():
    detector, batch = _detector([1.0, 0.5, 0.25], [L1Residual(), SSIMResidual()]), _photographs(5, seed=3)
    detector.calibrate([_photographs(6, seed=4)])
    found = detector(batch)
    assert found.depth_maps.shape == (5, 2, SIDE, SIDE)
    assert found.reconstruction.shape == (5, 2, 3, SIDE, SIDE)
    assert found.nfe == 3 * 2
    for index in range(5):
        torch.testing.assert_close(detector(single(batch, index)).anomaly_map[0], found.anomaly_map[index])
    normals = _photographs(6, seed=4)
    maps = detector(normals.rows(~normals.label))
    inside = normals.valid[~normals.label]
    for one in (maps.anomaly_map, *maps.depth_maps.split(1, dim=1)):  # standard deviations of normal
        assert abs(float(one[inside].std(correction=0)) - 1) < 0.01


def test_what_several_residuals_ask_of_the_network_is_asked_once_and_counted():
    residuals = [
        ActivationResidual(components=4, stride=4, depths=[0.1, 0.4]),
        ActivationResidual(NearestResidual(context=0.0), components=4, stride=4),  # depth .1 as well
        ActivationResidual(components=4, stride=4, of_reconstruction=True),
        ActivationResidual(L2Residual(), components=3, stride=8, of_reconstruction=True),
    ]
    detector, normals = _detector([1.0, 0.5], residuals), _photographs(6, seed=2)
    detector.learn([normals])
    detector.calibrate([normals])
    asked: list[int] = []
    detector.denoiser.backbone.stem.register_forward_hook(lambda *_: asked.append(1))
    found = detector(_photographs(1, seed=5))
    assert found.nfe == len(asked) == 2 * (2 + 2 + 2)  # reconstructions, depths .1 and .4, reconstructions at .1
    once = found.anomaly_map
    detector.calibrate([normals])
    assert torch.equal(detector(_photographs(1, seed=5)).anomaly_map, once)


def test_a_pyramid_comes_back_from_its_weights():
    first, second = (_detector([1.0, 0.5], [ActivationResidual(components=4, stride=4)]) for _ in range(2))
    first.learn([_photographs(6, seed=2)])
    first.calibrate([_photographs(6, seed=4)])
    second.load_state_dict(first.state_dict())
    batch = _photographs(2, seed=5)
    assert torch.equal(first(batch).anomaly_map, second(batch).anomaly_map)


@pytest.mark.parametrize("scales", [[], [0.5], [1.0, 1.0], [1.0, 0.0], [1.0, 0.25, 0.5]], ids=str)
def test_scales_that_do_not_go_down_from_one_are_refused(scales):
    with pytest.raises(ValueError, match="`scales` must begin with 1 and go down, each > 0"):
        _detector(scales, [L1Residual()])
