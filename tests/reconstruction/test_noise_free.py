import pytest
import torch
from analytic import SpyDraw, exact_denoiser, exact_flow, normal_images
from overlays import strategy_of
from torch import Tensor

from anomaly_diffusion.diffusion.parametrisation import NoisePrediction
from anomaly_diffusion.diffusion.sampler import DDIM, Heun
from anomaly_diffusion.diffusion.schedule import LinearBetaSchedule
from anomaly_diffusion.reconstruction.guidance import DDADPull
from anomaly_diffusion.reconstruction.noise_free import NoiseFreeStart
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion


def refuse(like: Tensor) -> Tensor:
    raise AssertionError("Noise was drawn.")


@pytest.mark.parametrize("sampler", [DDIM(), Heun()], ids=["ddim", "heun"])
def test_a_deterministic_walk_draws_nothing(sampler) -> None:
    NoiseFreeStart((0.3, 1.0), steps=3, sampler=sampler)(exact_denoiser(), normal_images(1, 1, 4, 4), refuse)


def test_one_step_is_the_noise_free_one_shot() -> None:
    x_0 = normal_images(2, 3, 4, 4)
    walk = NoiseFreeStart((0.3, 1.0), steps=1)(exact_denoiser(), x_0, refuse).x_0
    shot = OneShot((0.3, 1.0), draws=0)(exact_denoiser(), x_0, refuse).x_0
    torch.testing.assert_close(walk, shot, rtol=0, atol=1e-14)


def test_it_is_partial_diffusion_whose_first_draw_is_zero() -> None:
    x_0, draw = normal_images(2, 3, 4, 4), SpyDraw()
    free = NoiseFreeStart((0.8,), steps=4, sampler=DDIM(eta=1.0))(exact_denoiser(), x_0, draw).x_0
    fields = iter([torch.zeros_like(x_0), *draw.fields])
    noisy = PartialDiffusion((0.8,), steps=4, sampler=DDIM(eta=1.0))(exact_denoiser(), x_0, lambda like: next(fields))
    assert torch.equal(free, noisy.x_0)


def test_the_walk_follows_the_closed_form() -> None:
    denoiser, x_0 = exact_denoiser(), normal_images(2, 3, 4, 4)
    reconstruction = NoiseFreeStart((0.7,), steps=400, sampler=Heun())(denoiser, x_0, refuse).x_0[:, 0]
    start = denoiser.schedule(denoiser.schedule.time(torch.tensor(0.7, dtype=torch.float64)))
    clean = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    exact = exact_flow(start[0] * x_0, start, clean, mean=0.3, spread=0.5)
    torch.testing.assert_close(reconstruction, exact, rtol=0, atol=2e-3)


def _d3ad(y: Tensor, weight: float) -> Tensor:
    """D3AD's walk from t = 80 in strides of 8, without noise, with DDAD's correction, for images of N(0.3, 0.5^2)."""
    betas = torch.linspace(0.0015, 0.0195, 1000, dtype=torch.float64)
    abar = torch.cat([torch.ones(1), torch.cumprod(1 - betas, 0)])
    x_t = abar[80].sqrt() * y
    for t in range(80, 0, -8):
        a, b = abar[t], abar[t - 8]
        mean = 0.3 + a.sqrt() * 0.25 / (a * 0.25 + 1 - a) * (x_t - a.sqrt() * 0.3)
        noise_hat = (x_t - a.sqrt() * mean) / (1 - a).sqrt()
        y_t = a.sqrt() * y + (1 - a).sqrt() * noise_hat
        noise_hat = noise_hat - weight * (1 - a).sqrt() * (y_t - x_t)
        x_t = b.sqrt() * (x_t - (1 - a).sqrt() * noise_hat) / a.sqrt() + (1 - b).sqrt() * noise_hat
    return x_t


@pytest.mark.parametrize("weight", [0.0, 4.0])
def test_the_pull_is_that_of_d3ad(weight: float) -> None:
    schedule, x_0 = LinearBetaSchedule(0.0015, 0.0195), normal_images(2, 3, 4, 4)
    depth = float(schedule.depth(torch.tensor(0.08, dtype=torch.float64)))
    assert depth == pytest.approx(0.44, abs=0.005)
    strategy = NoiseFreeStart((depth,), steps=10, pull=DDADPull(weight))
    reconstruction = strategy(exact_denoiser(schedule, NoisePrediction()), x_0, refuse).x_0[:, 0]
    torch.testing.assert_close(reconstruction, _d3ad(x_0, weight), rtol=0, atol=1e-8)


def test_the_overlay_walks_as_d3ad_does() -> None:
    """But for its depth, which is rounded from that of t = 80."""
    schedule, x_0 = LinearBetaSchedule(0.0015, 0.0195), normal_images(2, 3, 4, 4)
    reconstruction = strategy_of("noise_free_start")(exact_denoiser(schedule, NoisePrediction()), x_0, refuse).x_0[:, 0]
    torch.testing.assert_close(reconstruction, _d3ad(x_0, 4.0), rtol=0, atol=4e-3)


def test_without_a_pull_it_walks_as_it_would_with_none() -> None:
    x_0 = normal_images(2, 3, 4, 4)
    free, none = (NoiseFreeStart((0.8,), 4, pull=pull)(exact_denoiser(), x_0, refuse).x_0 for pull in (None, 0.0))
    torch.testing.assert_close(free, none, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        NoiseFreeStart((0.8,), 4, pull=1.0)(exact_denoiser(), x_0, refuse).x_0[:, 0], x_0, rtol=0, atol=1e-12
    )
