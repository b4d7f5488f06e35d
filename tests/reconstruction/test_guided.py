import pytest
import torch
from analytic import SpyDraw, exact_denoiser, normal_images
from overlays import strategy_of
from torch import Tensor

from anomaly_diffusion.diffusion.parametrisation import NoisePrediction
from anomaly_diffusion.diffusion.sampler import DDIM, Heun, Sampler
from anomaly_diffusion.diffusion.schedule import CosineSchedule, LinearBetaSchedule
from anomaly_diffusion.reconstruction.adaptive import AdaptiveDepth
from anomaly_diffusion.reconstruction.guidance import (
    ConstantPull,
    DDADPull,
    GuidedDenoiser,
    Pull,
    ResidualPull,
    pulled,
)
from anomaly_diffusion.reconstruction.guided import Guided
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion

SAMPLERS = [DDIM(), DDIM(eta=1.0), Heun()]
samplers = pytest.mark.parametrize("sampler", SAMPLERS, ids=["ddim", "ancestral", "heun"])
PULLS = [ConstantPull(0.3), DDADPull(7.0), ResidualPull()]
pulls = pytest.mark.parametrize("pull", PULLS, ids=lambda pull: type(pull).__name__)


def _ddad(y: Tensor, weight: float, eta: float, draw: SpyDraw) -> Tensor:
    """DDAD's walk from t = 250 in strides of 25 as its paper writes it, for Gaussian images of N(0.3, 0.5^2)."""
    abar = torch.cat([torch.ones(1), torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0)])
    x_t = abar[250].sqrt() * y + (1 - abar[250]).sqrt() * draw(y)
    for t in range(250, 0, -25):
        a, b = abar[t], abar[t - 25]
        mean = 0.3 + a.sqrt() * 0.25 / (a * 0.25 + 1 - a) * (x_t - a.sqrt() * 0.3)
        noise_hat = (x_t - a.sqrt() * mean) / (1 - a).sqrt()
        y_t = a.sqrt() * y + (1 - a).sqrt() * noise_hat
        noise_hat = noise_hat - weight * (1 - a).sqrt() * (y_t - x_t)
        x_0 = (x_t - (1 - a).sqrt() * noise_hat) / a.sqrt()
        spread = eta * ((1 - b) / (1 - a)).sqrt() * (1 - a / b).sqrt()
        x_t = b.sqrt() * x_0 + (1 - b - spread**2).sqrt() * noise_hat + (spread * draw(y) if eta else 0)
    return x_t


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("weight", [0.0, 3.0, 11.0])
def test_guidance_is_that_of_ddad(weight: float, eta: float) -> None:
    schedule, x_0 = LinearBetaSchedule(), normal_images(2, 3, 4, 4)
    depth = float(schedule.depth(torch.tensor(0.25, dtype=torch.float64)))
    strategy = Guided((depth,), steps=10, pull=DDADPull(weight), sampler=DDIM(eta))
    reconstruction = strategy(exact_denoiser(schedule, NoisePrediction()), x_0, SpyDraw(seed=7)).x_0[:, 0]
    torch.testing.assert_close(reconstruction, _ddad(x_0, weight, eta, SpyDraw(seed=7)), rtol=0, atol=1e-8)


def test_the_overlay_walks_as_ddad_does_on_tile() -> None:
    """But for its depth, which is rounded from that of t = 250."""
    schedule, x_0 = LinearBetaSchedule(), normal_images(2, 3, 4, 4)
    reconstruction = strategy_of("ddad")(exact_denoiser(schedule, NoisePrediction()), x_0, SpyDraw(seed=7)).x_0[:, 0]
    torch.testing.assert_close(reconstruction, _ddad(x_0, 4.0, 1.0, SpyDraw(seed=7)), rtol=0, atol=4e-3)


@samplers
def test_the_full_pull_returns_the_image(sampler: Sampler) -> None:
    x_0 = normal_images(2, 3, 4, 4)
    reconstruction = Guided((0.3, 2.0), steps=4, pull=1.0, sampler=sampler)(exact_denoiser(), x_0, SpyDraw(seed=7)).x_0
    torch.testing.assert_close(reconstruction, x_0[:, None].expand_as(reconstruction), rtol=0, atol=1e-12)


@samplers
def test_no_pull_is_partial_diffusion(sampler: Sampler) -> None:
    x_0 = normal_images(2, 3, 4, 4)
    guided = Guided((0.3, 2.0), steps=4, pull=0.0, sampler=sampler)(exact_denoiser(), x_0, SpyDraw(seed=7))
    plain = PartialDiffusion((0.3, 2.0), steps=4, sampler=sampler)(exact_denoiser(), x_0, SpyDraw(seed=7))
    torch.testing.assert_close(guided.x_0, plain.x_0, rtol=0, atol=1e-12)
    assert guided.nfe == plain.nfe


@samplers
def test_the_stronger_the_pull_the_nearer_the_image(sampler: Sampler) -> None:
    x_0 = normal_images(2, 3, 16, 16)
    strategies = [Guided((1.5,), steps=4, pull=pull, sampler=sampler) for pull in (0.0, 0.2, 0.5, 0.8)]
    walks = [strategy(exact_denoiser(), x_0, SpyDraw(seed=7)).x_0[:, 0] for strategy in strategies]
    distances = torch.stack([(walk - x_0).square().mean() for walk in walks])
    assert (distances.diff() < 0).all()


def test_one_guided_step_moves_the_conditional_mean_by_the_pull() -> None:
    x_0, noise = normal_images(2, 3, 4, 4), normal_images(2, 3, 4, 4, seed=1, mean=0.0, spread=1.0)
    reconstruction = Guided((0.5,), steps=1, pull=0.3)(exact_denoiser(), x_0, lambda like: noise).x_0[:, 0]
    mean = 0.3 + 0.5 * (x_0 + 0.5 * noise - 0.3)  # depth equals spread: half the way
    torch.testing.assert_close(reconstruction, 0.7 * mean + 0.3 * x_0, rtol=0, atol=1e-12)


@pulls
def test_a_pulled_estimate_still_explains_the_noisy_image(pull: Pull) -> None:
    denoiser, x_0 = exact_denoiser(), normal_images(3, 2, 8, 8)
    x_t, t = normal_images(3, 2, 8, 8, seed=1), torch.tensor([0.1, 0.4, 0.8], dtype=torch.float64)
    estimate = GuidedDenoiser(denoiser, x_0, pull)(x_t, t)
    alpha_t, sigma_t = (scale[:, None, None, None] for scale in denoiser.schedule(t))
    torch.testing.assert_close(alpha_t * estimate.x_0 + sigma_t * estimate.noise, x_t, rtol=0, atol=1e-12)


def test_half_an_image_may_be_held_and_the_other_let_go() -> None:
    denoiser, x_0, t = exact_denoiser(), normal_images(1, 1, 4, 4), torch.tensor([0.5], dtype=torch.float64)
    x_t, pull = normal_images(1, 1, 4, 4, seed=1), torch.ones(1, 1, 4, 4, dtype=torch.float64)
    pull[..., 2:] = 0
    free = denoiser(x_t, t)
    held = pulled(free, x_0, pull, x_t, *denoiser.schedule(t))
    torch.testing.assert_close(held.x_0[..., :2], x_0[..., :2], rtol=0, atol=1e-15)
    torch.testing.assert_close(held.noise[..., 2:], free.noise[..., 2:], rtol=0, atol=1e-14)


@pulls
def test_categories_leave_the_guidance_in_place(pull: Pull) -> None:
    x_0, x_t = normal_images(3, 2, 8, 8), normal_images(3, 2, 8, 8, seed=1)
    guided, t = GuidedDenoiser(exact_denoiser(), x_0, pull), torch.tensor(0.4, dtype=torch.float64)
    whole = guided(x_t, t).x_0
    assert torch.equal(guided.conditioned_on(torch.zeros(3, dtype=torch.int64))(x_t, t).x_0, whole)


def _residual_pull(difference: Tensor, image: Tensor) -> Tensor:
    return ResidualPull(tolerance=3.0)(torch.full((len(image),), 0.4), CosineSchedule(), image + difference, image)


def test_the_residual_pull_holds_what_agrees_and_lets_go_what_differs() -> None:
    image, difference = normal_images(2, 3, 32, 32), torch.full((2, 3, 32, 32), 0.01, dtype=torch.float64)
    difference[0, :, 8:16, 8:16] = 1.0
    defective, normal = _residual_pull(difference, image)
    assert (defective[:, 10:14, 10:14] == 0).all()
    assert (defective[:, 20:, 20:] > 0.9).all()
    torch.testing.assert_close(normal, torch.full_like(normal, 2 / 3), rtol=0, atol=1e-12)


def test_the_residual_pull_knows_no_contrast_and_no_other_image() -> None:
    image, difference = normal_images(2, 3, 16, 16), normal_images(2, 3, 16, 16, seed=1) ** 3
    pull = _residual_pull(difference, image)
    assert ((pull >= 0) & (pull <= 1)).all()
    torch.testing.assert_close(_residual_pull(1e-3 * difference, image), pull, rtol=0, atol=1e-10)
    torch.testing.assert_close(_residual_pull(difference[:1], image[:1]), pull[:1], rtol=0, atol=0)


def test_where_nothing_differs_the_residual_pull_is_full() -> None:
    image = normal_images(2, 3, 8, 8)
    assert (_residual_pull(torch.zeros_like(image), image) == 1).all()


def test_guidance_takes_any_depths() -> None:
    x_0 = normal_images(3, 1, 8, 8)
    adaptive = Guided(AdaptiveDepth((0.4, 0.9), 3.0), 3, ResidualPull())(exact_denoiser(), x_0, SpyDraw(seed=7))
    assert adaptive.nfe == 2 + 3
    assert adaptive.x_0.isfinite().all()
