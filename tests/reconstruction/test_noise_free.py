import pytest
import torch
from analytic import SpyDraw, exact_denoiser, exact_flow, normal_images
from torch import Tensor

from anomaly_diffusion.diffusion.sampler import DDIM, Heun
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
    healthy = NoiseFreeStart((0.7,), steps=400, sampler=Heun())(denoiser, x_0, refuse).x_0[:, 0]
    start = denoiser.schedule(denoiser.schedule.time(torch.tensor(0.7, dtype=torch.float64)))
    clean = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    exact = exact_flow(start[0] * x_0, start, clean, mean=0.3, spread=0.5)
    torch.testing.assert_close(healthy, exact, rtol=0, atol=2e-3)
