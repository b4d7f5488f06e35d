import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from anomaly_diffusion.diffusion.schedule import CosineSchedule, LinearBetaSchedule, ScaledLinearSchedule, Schedule

SCHEDULES = [CosineSchedule(), LinearBetaSchedule(), ScaledLinearSchedule()]
schedules = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
TIMES = torch.linspace(0, 1, 1013, dtype=torch.float64)


@schedules
def test_variance_is_preserved(schedule: Schedule) -> None:
    alpha_t, sigma_t = schedule(TIMES)
    torch.testing.assert_close(alpha_t**2 + sigma_t**2, torch.ones_like(TIMES), rtol=0, atol=1e-14)


@schedules
def test_signal_to_noise_ratio_falls_with_time(schedule: Schedule) -> None:
    alpha_t, sigma_t = schedule(TIMES[1:])
    assert ((alpha_t / sigma_t).diff() < 0).all()


@schedules
def test_time_zero_is_clean(schedule: Schedule) -> None:
    alpha_0, sigma_0 = schedule(torch.zeros(()))
    assert (alpha_0, sigma_0) == (1, 0)


@schedules
def test_depth_and_time_are_each_other_s_inverse(schedule: Schedule) -> None:
    depth = torch.logspace(-2.5, 0.9, 50, dtype=torch.float64)
    torch.testing.assert_close(schedule.depth(schedule.time(depth)), depth, rtol=1e-12, atol=0)
    t = torch.linspace(0.003, 0.9, 400, dtype=torch.float64)
    torch.testing.assert_close(schedule.time(schedule.depth(t)), t, rtol=1e-11, atol=0)


@schedules
def test_scales_keep_the_type_and_shape_of_time(schedule: Schedule) -> None:
    for t in (torch.tensor(0.5), torch.tensor([0.2, 0.7]), torch.tensor([0.2], dtype=torch.float64)):
        assert all(scale.dtype == t.dtype and scale.shape == t.shape for scale in schedule(t))
        assert schedule.time(t).dtype == t.dtype


@schedules
def test_float32_agrees_with_float64_at_shallow_depths(schedule: Schedule) -> None:
    depth = torch.tensor([0.01, 0.05, 0.3])
    torch.testing.assert_close(schedule.depth(schedule.time(depth)), depth, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("schedule", "name", "first", "last"),
    [(LinearBetaSchedule(), "linear", 1e-4, 2e-2), (ScaledLinearSchedule(), "scaled_linear", 8.5e-4, 1.2e-2)],
)
def test_betas_are_those_of_diffusers(schedule: Schedule, name: str, first: float, last: float) -> None:
    reference = DDIMScheduler(beta_schedule=name, beta_start=first, beta_end=last).alphas_cumprod.double()
    alpha_t, _ = schedule(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    torch.testing.assert_close(alpha_t**2, reference, rtol=2e-5, atol=0)  # theirs is a product in float32


def test_depths_of_the_literature_are_reproduced() -> None:
    linear, cosine = LinearBetaSchedule(), CosineSchedule()
    depth = linear.depth(torch.tensor(0.25, dtype=torch.float64))  # DDAD starts there
    assert depth == pytest.approx(0.95, abs=0.01)
    assert cosine.time(depth) == pytest.approx(0.48, abs=0.005)
