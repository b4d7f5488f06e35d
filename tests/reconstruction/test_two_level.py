import math

import pytest
import torch
from analytic import SpyDraw, exact_denoiser, normal_images, spied
from overlays import strategy_of
from torch import Tensor

from anomaly_diffusion.diffusion.parametrisation import NoisePrediction
from anomaly_diffusion.diffusion.schedule import LinearBetaSchedule
from anomaly_diffusion.reconstruction.guidance import DDADPull
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.two_level import TwoLevel


def test_every_depth_is_followed_by_the_deep_level() -> None:
    denoiser, spy = spied(exact_denoiser())
    TwoLevel((0.3, 0.8), deep=2.0)(denoiser, normal_images(1, 1, 4, 4), SpyDraw())
    depths = [float(denoiser.schedule.depth(t[0])) for _, t in spy.calls]
    assert depths == pytest.approx([0.3, 2.0, 0.8, 2.0])


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_guidance_is_that_of_diffusionad(weight: float) -> None:
    """Their correction of the noise, with the deep estimate noised along the shallow noise, written out."""
    schedule, x_0, draw = LinearBetaSchedule(), normal_images(2, 3, 4, 4), SpyDraw()
    denoiser = exact_denoiser(schedule, NoisePrediction())
    reconstruction = TwoLevel((0.7,), deep=2.0, pull=DDADPull(weight))(denoiser, x_0, draw).x_0[:, 0]
    a, b = (torch.tensor(1 / (1 + depth**2), dtype=torch.float64) for depth in (0.7, 2.0))
    x_s, x_b = (
        level.sqrt() * x_0 + (1 - level).sqrt() * field for level, field in zip((a, b), draw.fields, strict=True)
    )
    guide = denoiser(x_b, schedule.time(torch.tensor(2.0, dtype=torch.float64))).x_0
    noise_hat = denoiser(x_s, schedule.time(torch.tensor(0.7, dtype=torch.float64))).noise
    target = a.sqrt() * guide + (1 - a).sqrt() * noise_hat
    corrected = noise_hat - weight * (1 - a).sqrt() * (target - x_s)
    exact = (x_s - (1 - a).sqrt() * corrected) / a.sqrt()
    torch.testing.assert_close(reconstruction, exact, rtol=0, atol=1e-9)


def test_the_noise_free_one_follows_the_closed_form() -> None:
    """Both estimates pull each pixel towards the mean by spread^2 / (spread^2 + depth^2); the pull is sigma_t^2."""
    x_0 = normal_images(2, 3, 4, 4)
    reconstruction = TwoLevel((0.5,), deep=1.5, draws=0)(exact_denoiser(), x_0, torch.zeros_like).x_0[:, 0]
    shallow, deep = 0.25 / (0.25 + 0.25), 0.25 / (0.25 + 2.25)
    pull = math.sin(math.atan(0.5)) ** 2
    torch.testing.assert_close(
        reconstruction - 0.3, (shallow + pull * (deep - shallow)) * (x_0 - 0.3), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(("pull", "depth"), [(0.0, 0.4), (1.0, 1.6)])
def test_the_ends_of_the_pull_are_the_two_one_shots(pull: float, depth: float) -> None:
    x_0 = normal_images(2, 3, 4, 4)
    both = TwoLevel((0.4,), deep=1.6, pull=pull, draws=0)(exact_denoiser(), x_0, torch.zeros_like).x_0
    alone = OneShot((depth,), draws=0)(exact_denoiser(), x_0, torch.zeros_like).x_0
    torch.testing.assert_close(both, alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("deep", [2.03, 1.5], ids=["paper", "overlay"])
def test_clamps_are_those_of_diffusionad(deep: float) -> None:
    """Guide and result lie in [-1, 1] as theirs do; the shallow estimate, which they leave alone, need not."""
    schedule, x_0, draw = LinearBetaSchedule(), normal_images(2, 3, 16, 16, spread=1.5), SpyDraw()
    denoiser = exact_denoiser(schedule, NoisePrediction(), spread=3.0)
    strategy = strategy_of("two_level") if deep == 1.5 else TwoLevel((0.72,), deep=deep, limit=1.0)
    reconstruction = strategy(denoiser, x_0, draw).x_0[:, 0]
    a, b = (torch.tensor(1 / (1 + depth**2), dtype=torch.float64) for depth in (0.72, deep))
    (x_s, shallow), (_, deep) = (
        _posterior(x_0, level, field) for level, field in zip((a, b), draw.fields, strict=True)
    )
    noise_hat = (x_s - a.sqrt() * shallow) / (1 - a).sqrt()
    target = a.sqrt() * deep.clamp(-1, 1) + (1 - a).sqrt() * noise_hat
    corrected = noise_hat - (1 - a).sqrt() * (target - x_s)
    torch.testing.assert_close(
        reconstruction, ((x_s - (1 - a).sqrt() * corrected) / a.sqrt()).clamp(-1, 1), rtol=0, atol=1e-8
    )
    assert all((estimate.abs() > 1).double().mean() > 0.1 for estimate in (shallow, deep))


def _posterior(x_0: Tensor, abar: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The noisy image, and E[x_0 | x_t] of images of N(0.3, 3^2)."""
    x_t = abar.sqrt() * x_0 + (1 - abar).sqrt() * noise
    return x_t, 0.3 + abar.sqrt() * 9 / (abar * 9 + 1 - abar) * (x_t - abar.sqrt() * 0.3)
