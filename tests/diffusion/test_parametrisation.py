import pytest
import torch
from analytic import exact_denoiser, normal_images
from torch import Tensor

from anomaly_diffusion.diffusion.parametrisation import (
    FlowPrediction,
    ImagePrediction,
    NoisePrediction,
    Parametrisation,
    VelocityPrediction,
)
from anomaly_diffusion.diffusion.sampler import DDIM, falling_times
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.types import like

PARAMETRISATIONS = [NoisePrediction(), ImagePrediction(), VelocityPrediction(), FlowPrediction()]
parametrisations = pytest.mark.parametrize(
    "parametrisation", PARAMETRISATIONS, ids=lambda parametrisation: type(parametrisation).__name__
)
T = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
ALPHA_T, SIGMA_T = CosineSchedule()(T)


def _noisy() -> tuple[Tensor, Tensor, Tensor]:
    x_0, noise = normal_images(9, 3, 4, 4), normal_images(9, 3, 4, 4, seed=1, mean=0.0, spread=1.0)
    return x_0, noise, like(ALPHA_T, x_0) * x_0 + like(SIGMA_T, x_0) * noise


@parametrisations
def test_target_and_estimate_are_each_other_s_inverse(parametrisation: Parametrisation) -> None:
    x_0, noise, x_t = _noisy()
    estimate = parametrisation.estimate(parametrisation.target(x_0, noise, ALPHA_T, SIGMA_T), x_t, ALPHA_T, SIGMA_T)
    torch.testing.assert_close(estimate.x_0, x_0, rtol=0, atol=1e-12)
    torch.testing.assert_close(estimate.noise, noise, rtol=0, atol=1e-12)


@parametrisations
def test_any_output_explains_the_noisy_image(parametrisation: Parametrisation) -> None:
    _, output, x_t = _noisy()
    estimate = parametrisation.estimate(output, x_t, ALPHA_T, SIGMA_T)
    explained = like(ALPHA_T, x_t) * estimate.x_0 + like(SIGMA_T, x_t) * estimate.noise
    torch.testing.assert_close(explained, x_t, rtol=0, atol=1e-12)


@parametrisations
def test_gain_is_the_error_of_the_output_per_error_of_the_image(parametrisation: Parametrisation) -> None:
    x_0, noise, x_t = _noisy()
    exact = parametrisation.target(x_0, noise, ALPHA_T, SIGMA_T)
    error = normal_images(9, 3, 4, 4, seed=2)
    image_error = parametrisation.estimate(exact + error, x_t, ALPHA_T, SIGMA_T).x_0 - x_0
    ratio = error.square().flatten(1).sum(1) / image_error.square().flatten(1).sum(1)
    torch.testing.assert_close(parametrisation.gain(ALPHA_T, SIGMA_T), ratio, rtol=1e-10, atol=0)


@parametrisations
def test_ddim_walks_the_same_path_whatever_the_network_predicts(parametrisation: Parametrisation) -> None:
    x_t, times = normal_images(2, 3, 4, 4), falling_times(torch.tensor(0.8, dtype=torch.float64), 7)
    path = DDIM()(exact_denoiser(parametrisation=parametrisation), x_t, times, torch.zeros_like)
    reference = DDIM()(exact_denoiser(parametrisation=ImagePrediction()), x_t, times, torch.zeros_like)
    torch.testing.assert_close(path, reference, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("parametrisation", "published"),
    [
        (NoisePrediction(), lambda x_0, noise: noise),
        (ImagePrediction(), lambda x_0, noise: x_0),
        (VelocityPrediction(), lambda x_0, noise: like(ALPHA_T, x_0) * noise - like(SIGMA_T, x_0) * x_0),
        (FlowPrediction(), lambda x_0, noise: noise - x_0),
    ],
)
def test_targets_are_the_published_ones(parametrisation: Parametrisation, published) -> None:
    x_0, noise, _ = _noisy()
    torch.testing.assert_close(parametrisation.target(x_0, noise, ALPHA_T, SIGMA_T), published(x_0, noise))
