import pytest
import torch
from analytic import exact_denoiser, exact_flow, normal_images, spied
from torch import Tensor

from anomaly_diffusion.diffusion.schedule import CosineSchedule, LinearBetaSchedule, Schedule
from anomaly_diffusion.reconstruction.inversion import Inversion

SCHEDULES = [CosineSchedule(), LinearBetaSchedule()]
schedules = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)


def refuse(like: Tensor) -> Tensor:
    raise AssertionError("Noise was drawn.")


def test_inversion_reaches_the_closed_form_at_first_order() -> None:
    x_0, depth, denoiser = normal_images(2, 3, 4, 4), torch.tensor([0.6, 2.0], dtype=torch.float64), exact_denoiser()
    clean = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    errors = []
    for steps in (50, 100, 200):
        y_t = Inversion(steps=steps).invert(denoiser, x_0, depth)
        exact = [
            exact_flow(image, clean, (torch.ones_like(own), own), mean=0.3, spread=0.5)
            for image, own in zip(x_0, depth, strict=True)
        ]
        errors.append(float((y_t - torch.stack(exact)).abs().max()))
    assert errors[-1] < 5e-2
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.03)


@schedules
def test_evidence_is_a_z_score_of_the_pixel(schedule: Schedule) -> None:
    x_0, ratio = normal_images(2, 3, 4, 4), 2.0  # depth / spread
    anomaly_maps = Inversion((1.0,), steps=500)(exact_denoiser(schedule), x_0, refuse).anomaly_maps
    z = ((x_0 - 0.3) / 0.5).square().mean(1).sqrt()
    torch.testing.assert_close(anomaly_maps[:, 0], ((1 + ratio**2) ** 0.5 - 1) / ratio * z, rtol=0.02, atol=0)


@schedules
@pytest.mark.parametrize(("steps", "short", "within"), [(5, 0.15, 0.02), (50, 0.023, 0.002)])
def test_few_strides_fall_short_of_it_as_the_docstring_says(
    schedule: Schedule, steps: int, short: float, within: float
) -> None:
    x_0, ratio = normal_images(2, 1, 4, 4), 2.0
    anomaly_maps = Inversion((1.0,), steps)(exact_denoiser(schedule), x_0, refuse).anomaly_maps
    limit = ((1 + ratio**2) ** 0.5 - 1) / ratio * ((x_0 - 0.3) / 0.5).abs()
    assert float((1 - anomaly_maps / limit).mean()) == pytest.approx(short, abs=within)


def test_the_healthy_version_is_the_estimate_at_the_end_of_the_path() -> None:
    denoiser, spy = spied(exact_denoiser())
    x_0 = normal_images(1, 1, 4, 4)
    reconstruction = Inversion((0.8,), steps=3)(denoiser, x_0, refuse).x_0[:, 0]
    assert torch.equal(reconstruction, denoiser(*spy.calls[-1]).x_0)
    assert float(denoiser.schedule.depth(spy.calls[-2][1][0])) == pytest.approx(0.8)


def test_the_image_that_the_model_expects_is_not_moved_at_all() -> None:
    expected = torch.full((1, 3, 4, 4), 0.3, dtype=torch.float64)
    reconstruction = Inversion((0.3, 1.5))(exact_denoiser(), expected, refuse)
    torch.testing.assert_close(
        reconstruction.anomaly_maps, torch.zeros_like(reconstruction.anomaly_maps), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(reconstruction.x_0, expected[:, None].expand(-1, 2, -1, -1, -1), rtol=0, atol=1e-12)


def test_the_further_a_pixel_from_what_the_model_expects_the_larger_the_evidence() -> None:
    x_0 = torch.linspace(0.3, 1.0, 16, dtype=torch.float64).reshape(1, 1, 4, 4)
    anomaly_maps = Inversion((1.0,))(exact_denoiser(), x_0, refuse).anomaly_maps
    assert (anomaly_maps.flatten().diff() > 0).all()


@pytest.mark.parametrize("steps", [1, 2, 6])
def test_evaluations_are_counted_truly_and_times_rise_from_half_the_first_stride(steps: int) -> None:
    denoiser, spy = spied(exact_denoiser())
    x_0 = normal_images(2, 1, 4, 4)
    assert Inversion((0.7,), steps)(denoiser, x_0, refuse).nfe == len(spy.calls) == steps + 1
    depths = denoiser.schedule.depth(torch.stack([t[0] for _, t in spy.calls]))
    assert (depths.diff() > 0).all()
    assert float(depths[0]) == pytest.approx(float(depths[1]) / 2)
    alpha_t, _ = denoiser.schedule(spy.calls[0][1][0])
    assert torch.equal(spy.calls[0][0], alpha_t * x_0)


def test_inversion_never_draws_and_repeats_itself() -> None:
    x_0 = normal_images(2, 3, 4, 4)
    first, second = (Inversion((0.3, 0.9))(exact_denoiser(), x_0, refuse) for _ in range(2))
    assert torch.equal(first.anomaly_maps, second.anomaly_maps)
    assert torch.equal(first.x_0, second.x_0)
