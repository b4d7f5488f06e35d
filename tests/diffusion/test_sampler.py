import pytest
import torch
from analytic import SpyDraw, exact_denoiser, exact_flow, normal_images, spied
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from anomaly_diffusion.diffusion.parametrisation import (
    ImagePrediction,
    NoisePrediction,
    Parametrisation,
    VelocityPrediction,
)
from anomaly_diffusion.diffusion.sampler import DDIM, Heun, Sampler, falling_times
from anomaly_diffusion.diffusion.schedule import CosineSchedule, LinearBetaSchedule, ScaledLinearSchedule, Schedule

SAMPLERS = [DDIM(), DDIM(eta=0.5), DDIM(eta=1.0), Heun()]
samplers = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: f"{type(s).__name__}{getattr(s, 'eta', '')}")
SCHEDULES = [CosineSchedule(), LinearBetaSchedule(), ScaledLinearSchedule()]
schedules = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
THEIRS = [
    (LinearBetaSchedule(), {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 2e-2}),
    (ScaledLinearSchedule(), {"beta_schedule": "scaled_linear", "beta_start": 8.5e-4, "beta_end": 1.2e-2}),
]
PREDICTIONS = [(NoisePrediction(), "epsilon"), (VelocityPrediction(), "v_prediction"), (ImagePrediction(), "sample")]


def _double(depth: float) -> Tensor:
    return torch.tensor(depth, dtype=torch.float64)


def _errors(sampler: Sampler, schedule: Schedule, end: Tensor, steps: tuple[int, ...]) -> list[float]:
    """Largest deviation from the closed form after a walk from depth 2 to time `end`."""
    denoiser, start = exact_denoiser(schedule), schedule.time(_double(2.0))
    x_t = normal_images(1, 1, 4, 4, spread=1.0)
    exact = exact_flow(x_t, schedule(start), schedule(end), mean=0.3, spread=0.5)
    walks = [torch.linspace(float(start), float(end), count + 1, dtype=torch.float64) for count in steps]
    return [float((sampler(denoiser, x_t, times, torch.zeros_like) - exact).abs().max()) for times in walks]


@schedules
def test_ddim_reaches_the_closed_form_at_first_order(schedule: Schedule) -> None:
    coarse, middle, fine = _errors(DDIM(), schedule, schedule.time(_double(0.2)), (50, 100, 200))
    assert fine < 5e-3
    assert 1.9 < coarse / middle < 2.1
    assert 1.95 < middle / fine < 2.05


@schedules
def test_heun_reaches_the_closed_form_at_second_order(schedule: Schedule) -> None:
    coarse, middle, fine = _errors(Heun(), schedule, schedule.time(_double(0.2)), (20, 40, 80))
    assert fine < 5e-4
    assert 3.6 < coarse / middle < 4.4
    assert 3.8 < middle / fine < 4.2


@pytest.mark.parametrize(("sampler", "order"), [(DDIM(), 1), (Heun(), 2)])
def test_order_holds_down_to_the_clean_image(sampler: Sampler, order: int) -> None:
    middle, fine = _errors(sampler, CosineSchedule(), _double(0.0), (80, 160))
    assert middle / fine == pytest.approx(2**order, rel=0.1)


def test_ancestral_sampling_reproduces_the_spread_of_the_data() -> None:
    denoiser, times = exact_denoiser(), falling_times(_double(0.99), 200)
    x_t = normal_images(1, 1, 100, 100, mean=0.0, spread=1.0)
    samples = DDIM(eta=1.0)(denoiser, x_t, times, SpyDraw())
    assert samples.mean() == pytest.approx(0.3, abs=0.02)
    assert samples.std() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("schedule", "theirs"), THEIRS, ids=["linear", "scaled_linear"])
@pytest.mark.parametrize(("parametrisation", "prediction"), PREDICTIONS, ids=[name for _, name in PREDICTIONS])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_is_that_of_diffusers_step_by_step(
    schedule: Schedule, theirs: dict, parametrisation: Parametrisation, prediction: str, eta: float
) -> None:
    reference = DDIMScheduler(**theirs, clip_sample=False, prediction_type=prediction)
    reference.set_timesteps(10)
    # their table is a product in float32; the same table in float64 leaves rounding out of the comparison
    reference.alphas_cumprod = torch.cumprod(1 - _their_betas(theirs), 0)
    denoiser, draw = exact_denoiser(schedule, parametrisation), SpyDraw()
    x_t = y_t = normal_images(2, 3, 4, 4, spread=1.0)
    for timestep in reference.timesteps.tolist():
        t, s = _double((timestep + 1) / 1000), _double(max(timestep - 99, 0) / 1000)
        output = denoiser.backbone(y_t, t.expand(2))
        x_t = DDIM(eta).step(denoiser, x_t, t, s, draw)
        noise = draw.fields[-1] if eta else None
        y_t = reference.step(output, timestep, y_t, eta=eta, variance_noise=noise).prev_sample
        torch.testing.assert_close(x_t, y_t, rtol=0, atol=1e-11)


def _their_betas(theirs: dict) -> Tensor:
    power = 0.5 if theirs["beta_schedule"] == "scaled_linear" else 1.0
    ends = theirs["beta_start"] ** power, theirs["beta_end"] ** power
    return torch.linspace(*ends, 1000, dtype=torch.float64) ** (1 / power)


@samplers
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_evaluations_are_counted_truly(sampler: Sampler, steps: int) -> None:
    denoiser, spy = spied(exact_denoiser())
    sampler(denoiser, normal_images(1, 1, 4, 4), falling_times(_double(0.5), steps), SpyDraw())
    assert len(spy.calls) == sampler.evaluations(steps)


@samplers
def test_a_step_that_goes_nowhere_changes_nothing(sampler: Sampler) -> None:
    x_t, t = normal_images(2, 1, 4, 4), _double(0.4)
    torch.testing.assert_close(sampler.step(exact_denoiser(), x_t, t, t, SpyDraw()), x_t, rtol=0, atol=1e-12)


@samplers
def test_a_walk_ends_clean_and_in_the_data(sampler: Sampler) -> None:
    """Images without spread are all equal to the mean, and every sampler must arrive there exactly."""
    x_t = normal_images(2, 1, 4, 4)
    end = sampler(exact_denoiser(spread=0.0), x_t, falling_times(_double(0.7), 4), SpyDraw())
    torch.testing.assert_close(end, torch.full_like(x_t, 0.3), rtol=0, atol=1e-12)


def test_times_fall_in_equal_strides_from_exactly_the_start_to_zero() -> None:
    start = torch.tensor(0.37)
    times = falling_times(start, 5)
    assert times[0] == start
    assert times[-1] == 0
    torch.testing.assert_close(times.diff(), (-start / 5).expand(5))


@samplers
def test_each_image_may_walk_its_own_times(sampler: Sampler) -> None:
    x_t, draw = normal_images(3, 1, 4, 4), SpyDraw()
    starts = torch.tensor([0.2, 0.9, 0.5], dtype=torch.float64)
    together = sampler(exact_denoiser(), x_t, falling_times(starts, 4), draw)
    for index in range(3):
        replay = iter(draw.fields)
        times = falling_times(starts[index], 4)
        alone = sampler(
            exact_denoiser(), x_t[index : index + 1], times, lambda like, i=index, r=replay: next(r)[i : i + 1]
        )
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=1e-12)


def test_a_heun_step_to_the_clean_image_is_of_first_order_for_each_image_alone() -> None:
    denoiser, x_t = exact_denoiser(), normal_images(2, 1, 4, 4)
    t, s = torch.tensor([0.5, 0.5], dtype=torch.float64), torch.tensor([0.0, 0.2], dtype=torch.float64)
    together = Heun().step(denoiser, x_t, t, s, torch.zeros_like)
    alone = [Heun().step(denoiser, x_t[i : i + 1], t[i], s[i], torch.zeros_like) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-14)
