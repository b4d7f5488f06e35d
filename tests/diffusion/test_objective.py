import math

import pytest
import torch
from analytic import SpyBackbone, awakened, exact_denoiser, normal_images, seeded, spied
from scipy import stats
from torch import Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import (
    ImageWeighting,
    MinSNR,
    Objective,
    TargetWeighting,
    UniformTimes,
    Weighting,
)
from anomaly_diffusion.diffusion.parametrisation import (
    FlowPrediction,
    ImagePrediction,
    NoisePrediction,
    Parametrisation,
    VelocityPrediction,
)
from anomaly_diffusion.diffusion.schedule import CosineSchedule, LinearBetaSchedule
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.types import like

WEIGHTINGS = [TargetWeighting(), ImageWeighting(), MinSNR()]
PARAMETRISATIONS = [NoisePrediction(), ImagePrediction(), VelocityPrediction(), FlowPrediction()]
weightings = pytest.mark.parametrize("weighting", WEIGHTINGS, ids=lambda weighting: type(weighting).__name__)
parametrisations = pytest.mark.parametrize(
    "parametrisation", PARAMETRISATIONS, ids=lambda parametrisation: type(parametrisation).__name__
)


def _errors(objective: Objective, parametrisation: Parametrisation) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Loss, squared error of the output, squared error of the image, and depth, for each of eight images.

    Times are float32, hence the tolerance of 1e-6 below.
    """
    denoiser, spy = spied(exact_denoiser(parametrisation=parametrisation))
    x_0 = normal_images(8, 3, 4, 4)
    loss = objective(denoiser, GaussianNoise(), x_0, seeded())
    x_t, t = spy.calls[0]
    alpha_t, sigma_t = denoiser.schedule(t)
    noise = (x_t - like(alpha_t, x_t) * x_0) / like(sigma_t, x_t)
    output_error = spy.inner(x_t, t) - parametrisation.target(x_0, noise, alpha_t, sigma_t)
    image_error = denoiser(x_t, t).x_0 - x_0
    output_error, image_error = (error.square().flatten(1).mean(1) for error in (output_error, image_error))
    return loss, output_error, image_error, sigma_t / alpha_t


@parametrisations
def test_target_weighting_is_the_plain_error_of_the_output(parametrisation: Parametrisation) -> None:
    loss, output_error, _, _ = _errors(Objective(weighting=TargetWeighting()), parametrisation)
    torch.testing.assert_close(loss, output_error, rtol=1e-6, atol=0)


@parametrisations
def test_image_weighting_is_the_plain_error_of_the_image(parametrisation: Parametrisation) -> None:
    loss, _, image_error, _ = _errors(Objective(weighting=ImageWeighting()), parametrisation)
    torch.testing.assert_close(loss, image_error, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("parametrisation", "published"),
    [
        (NoisePrediction(), lambda snr, gamma: snr.clamp(max=gamma) / snr),
        (VelocityPrediction(), lambda snr, gamma: snr.clamp(max=gamma) / (snr + 1)),
        (ImagePrediction(), lambda snr, gamma: snr.clamp(max=gamma)),
    ],
)
@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_is_the_published_weight_of_the_output(
    parametrisation: Parametrisation, published, gamma: float
) -> None:
    loss, output_error, _, depth = _errors(Objective(weighting=MinSNR(gamma)), parametrisation)
    torch.testing.assert_close(loss, published(1 / depth**2, gamma) * output_error, rtol=1e-6, atol=0)


@weightings
def test_weights_are_positive_and_finite_at_every_depth(weighting: Weighting) -> None:
    depth = torch.logspace(-3, 2, 100)
    weight = weighting(depth, 1 / depth**2)
    assert (weight > 0).all()
    assert weight.isfinite().all()


@weightings
@parametrisations
def test_the_exact_denoiser_has_the_smallest_loss(weighting: Weighting, parametrisation: Parametrisation) -> None:
    x_0, objective = normal_images(64, 3, 8, 8), Objective(weighting=weighting)

    def loss(mean: float, spread: float) -> Tensor:
        denoiser = exact_denoiser(parametrisation=parametrisation, mean=mean, spread=spread)
        return objective(denoiser, GaussianNoise(), x_0, seeded()).mean()

    exact = loss(0.3, 0.5)
    assert all(exact < other for other in (loss(0.5, 0.5), loss(0.3, 0.35), loss(0.3, 0.7)))


def test_depths_are_log_uniform_in_the_band() -> None:
    objective, generator = Objective(shallowest=0.1, deepest=2.0), seeded()
    device = torch.device("cpu")
    depths = torch.cat([objective.depths(1, device, generator) for _ in range(2000)])
    assert depths.min() >= 0.1 * (1 - 1e-6)
    assert depths.max() <= 2.0 * (1 + 1e-6)
    place = (depths.log() - math.log(0.1)) / math.log(20)
    assert stats.kstest(place.numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("count", [2, 7, 16])
def test_every_batch_sees_the_whole_band(count: int) -> None:
    depths = Objective(shallowest=0.1, deepest=2.0).depths(count, torch.device("cpu"), seeded())
    place = (depths.double().log() - math.log(0.1)) / math.log(20)
    assert (place * count).long().clamp(0, count - 1).unique().numel() == count


def test_depths_and_noise_repeat_with_the_generator() -> None:
    x_0, denoiser = normal_images(4, 3, 8, 8), exact_denoiser()
    losses = [Objective()(denoiser, GaussianNoise(), x_0, seeded(seed)) for seed in (3, 3, 4)]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])


@weightings
@parametrisations
def test_the_gradient_reaches_every_parameter(weighting: Weighting, parametrisation: Parametrisation) -> None:
    network = awakened(UNet(width=8, multipliers=(1, 2)))
    denoiser = Denoiser(SpyBackbone(network), CosineSchedule(), parametrisation)
    loss = Objective(weighting=weighting)(denoiser, GaussianNoise(), normal_images(4, 3, 8, 8).float(), seeded())
    loss.mean().backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in network.parameters())


def test_uniform_times_fill_the_band_evenly_whatever_the_schedule() -> None:
    schedule, objective = LinearBetaSchedule(), UniformTimes(0.1, 20.0)
    times = torch.cat([objective.times(schedule, 8, torch.device("cpu"), seeded(draw)) for draw in range(50)])
    first, last = (float(schedule.time(torch.tensor(depth))) for depth in (0.1, 20.0))
    assert stats.kstest((times - first) / (last - first), "uniform").pvalue > 0.01
    assert first <= times.min() <= times.max() < last
    together = objective.times(schedule, 8, torch.device("cpu"), seeded()).sort().values
    torch.testing.assert_close(together.diff(), torch.full((7,), (last - first) / 8))
