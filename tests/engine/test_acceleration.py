"""With channels last a network says the same; that it does compiled is seen in tests/test_parity.py."""

import torch
from analytic import image_batch
from torch import nn

from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.engine.acceleration import Acceleration
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.scoring.scorer import Scoring


def make_detector():
    torch.manual_seed(0)
    detector = PixelDetector(
        UNet(width=8, multipliers=[1, 2]),
        CosineSchedule(),
        VelocityPrediction(),
        GaussianNoise(),
        Objective(),
        OneShot([0.5], draws=0),
        Scoring(),
    )
    nn.init.normal_(detector.denoiser.backbone.head[2].weight, std=0.1)
    return detector.eval()


def test_with_channels_last_the_network_says_the_same():
    batch, plain, fast = image_batch(4), make_detector(), make_detector()
    Acceleration(channels_last=True).setup(None, fast, "fit")
    assert list(fast.state_dict()) == list(plain.state_dict())
    with torch.inference_mode():
        expected = plain.restore(batch, plain.codec.encode(batch.image)).x_0
        found = fast.restore(batch, fast.codec.encode(batch.image)).x_0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert (expected - batch.image[:, None]).abs().max() > 1e-2
    assert fast.denoiser.backbone.stem.weight.is_contiguous(memory_format=torch.channels_last)


def test_nothing_is_touched_without_flags():
    detector = make_detector()
    Acceleration().setup(None, detector, "fit")
    assert detector.denoiser.backbone._compiled_call_impl is None
    assert detector.denoiser.backbone.stem.weight.is_contiguous()
