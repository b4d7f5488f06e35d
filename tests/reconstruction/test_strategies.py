import pytest
import torch
from analytic import SpyDraw, exact_denoiser, normal_images, spied
from torch import Tensor

from anomaly_diffusion.diffusion.sampler import DDIM, Heun
from anomaly_diffusion.diffusion.schedule import CosineSchedule, LinearBetaSchedule, ScaledLinearSchedule, Schedule
from anomaly_diffusion.reconstruction.adaptive import AdaptiveDepth
from anomaly_diffusion.reconstruction.guidance import DDADPull, ResidualPull
from anomaly_diffusion.reconstruction.guided import Guided
from anomaly_diffusion.reconstruction.harmonised import Harmonised
from anomaly_diffusion.reconstruction.inversion import Inversion
from anomaly_diffusion.reconstruction.mask_stitch import MaskStitchResample, Resampling
from anomaly_diffusion.reconstruction.noise_free import NoiseFreeStart
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.patched import PatchedOneShot
from anomaly_diffusion.reconstruction.posterior import PosteriorAverage
from anomaly_diffusion.reconstruction.regeneration import Regeneration
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.reconstruction.two_level import TwoLevel

STRATEGIES = {
    "noise-free": lambda *depths: OneShot(depths, draws=0),
    "one draw": lambda *depths: OneShot(depths, draws=1),
    "antithetic": lambda *depths: OneShot(depths, draws=4),
    "ddim": lambda *depths: PartialDiffusion(depths, steps=5),
    "ancestral": lambda *depths: PartialDiffusion(depths, steps=5, sampler=DDIM(eta=1.0)),
    "heun": lambda *depths: PartialDiffusion(depths, steps=3, sampler=Heun()),
    "noise-free start": lambda *depths: NoiseFreeStart(depths, steps=3),
    "two-level": lambda *depths: TwoLevel(depths, deep=4.0),
    "two-level, antithetic": lambda *depths: TwoLevel(depths, deep=4.0, pull=DDADPull(0.5), draws=2),
    "harmonised": lambda *depths: Harmonised(depths, steps=4),
    "harmonised, ancestral": lambda *depths: Harmonised(depths, 4, fractions=(0.5,), sampler=DDIM(eta=1.0)),
    "posterior": lambda *depths: PosteriorAverage(depths, samples=3, steps=2),
}
HOLDING = {  # what they find is on the side of the image
    "guided": lambda *depths: Guided(depths, steps=4, pull=0.4),
    "ddad": lambda *depths: Guided(depths, steps=4, pull=DDADPull(3.0), sampler=DDIM(eta=1.0)),
    "guided by residuals": lambda *depths: Guided(depths, steps=3, pull=ResidualPull(), sampler=Heun()),
    "mask-stitch": lambda *depths: MaskStitchResample(depths, steps=3, resampling=Resampling(steps=2)),
}
CHOOSING = {  # one depth only, whichever they choose
    "adaptive one-shot": lambda *depths: OneShot(AdaptiveDepth(depths, threshold=3.0)),
    "adaptive ancestral": lambda *depths: PartialDiffusion(AdaptiveDepth(depths, 3.0), 3, DDIM(eta=1.0)),
    "adaptive heun": lambda *depths: PartialDiffusion(AdaptiveDepth(depths, 3.0), 3, Heun()),
    "adaptive noise-free start": lambda *depths: NoiseFreeStart(AdaptiveDepth(depths, 3.0), 3),
    "adaptive two-level": lambda *depths: TwoLevel(AdaptiveDepth(depths, 3.0), deep=4.0),
    "adaptive harmonised": lambda *depths: Harmonised(AdaptiveDepth(depths, 3.0), steps=4),
    "adaptive posterior": lambda *depths: PosteriorAverage(AdaptiveDepth(depths, 3.0), samples=3, steps=2),
    "adaptive regeneration": lambda *depths: Regeneration(AdaptiveDepth(depths, 3.0), steps=3),
    "adaptive inversion": lambda *depths: Inversion(AdaptiveDepth(depths, 3.0), steps=3),
}
PATCHED = {"patched": lambda *depths: PatchedOneShot(depths, grid=2)}  # the rest of the image stays without noise


def among(*lists: dict) -> pytest.MarkDecorator:
    """Once for every strategy of the lists."""
    cases = {name: make for strategies in lists for name, make in strategies.items()}
    return pytest.mark.parametrize("strategy", cases.values(), ids=cases.keys())


strategies = among(STRATEGIES, HOLDING, CHOOSING, PATCHED)
SCHEDULES = [CosineSchedule(), LinearBetaSchedule(), ScaledLinearSchedule()]
schedules = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)


@among(STRATEGIES, HOLDING)
@schedules
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_call_gets_exactly_the_time_at_which_noise_was_added(
    strategy, schedule: Schedule, dtype: torch.dtype
) -> None:
    denoiser, spy = spied(exact_denoiser(schedule))
    x_0, draw = normal_images(2, 3, 4, 4).to(dtype), SpyDraw()
    reconstruction: Reconstruction = strategy(0.7)
    reconstruction(denoiser, x_0, draw)
    x_t, t = spy.calls[0]
    noise = draw.fields[0] if draw.fields else torch.zeros_like(x_0)
    alpha_t, sigma_t = schedule(t[0])
    assert torch.equal(x_t, alpha_t * x_0 + sigma_t * noise)
    # time is written in float32, whose steps at this depth are 1e-7
    torch.testing.assert_close(schedule.depth(t), torch.full_like(t, 0.7), rtol=2e-6, atol=0)


@among(STRATEGIES, HOLDING)
def test_every_depth_starts_at_its_own_time(strategy) -> None:
    denoiser, spy = spied(exact_denoiser())
    reconstruction: Reconstruction = strategy(0.2, 0.5, 1.5)
    nfe = reconstruction(denoiser, normal_images(1, 1, 4, 4), SpyDraw()).nfe
    starts = [float(denoiser.schedule.depth(t[0])) for _, t in spy.calls[:: nfe // 3]]
    assert starts == pytest.approx([0.2, 0.5, 1.5])


@strategies
@pytest.mark.parametrize("depths", [(0.5,), (0.2, 0.5, 1.5)])
def test_evaluations_are_counted_truly(strategy, depths: tuple[float, ...]) -> None:
    denoiser, spy = spied(exact_denoiser())
    reconstruction: Reconstruction = strategy(*depths)
    reconstruction = reconstruction(denoiser, normal_images(2, 1, 4, 4), SpyDraw())
    assert len(spy.calls) == reconstruction.nfe
    assert all(len(x_t) == 2 for x_t, _ in spy.calls)


@strategies
def test_hardly_any_depth_returns_the_image(strategy) -> None:
    x_0 = normal_images(2, 3, 8, 8)
    reconstruction = strategy(1e-4)(exact_denoiser(), x_0, SpyDraw()).x_0[:, 0]
    # fresh noise of an ancestral walk and that of a single draw are of the order of the depth
    torch.testing.assert_close(reconstruction, x_0, rtol=0, atol=1e-3)


@among(STRATEGIES, CHOOSING, PATCHED)
def test_great_depth_forgets_the_image(strategy) -> None:
    """Images without spread are all equal to their mean: a defect is removed completely."""
    x_0 = normal_images(2, 3, 8, 8)
    reconstruction = strategy(3.0)(exact_denoiser(spread=0.0), x_0, SpyDraw()).x_0
    torch.testing.assert_close(reconstruction, torch.full_like(reconstruction, 0.3), rtol=0, atol=1e-6)


@strategies
def test_a_reconstruction_does_not_depend_on_the_other_images(strategy) -> None:
    x_0, fields = normal_images(3, 1, 4, 4), SpyDraw()
    together = strategy(0.4, 0.9)(exact_denoiser(), x_0, fields).x_0
    for index in range(3):
        replay = iter(fields.fields)
        alone = strategy(0.4, 0.9)(
            exact_denoiser(), x_0[index : index + 1], lambda like, i=index, r=replay: next(r)[i : i + 1]
        )
        torch.testing.assert_close(alone.x_0[0], together[index], rtol=0, atol=1e-12)


@strategies
def test_the_same_draws_give_the_same_reconstruction_to_the_last_bit(strategy) -> None:
    x_0 = normal_images(2, 3, 6, 6)
    first, second = (strategy(0.4, 0.9)(exact_denoiser(), x_0, SpyDraw(seed=3)).x_0 for _ in range(2))
    assert torch.equal(first, second)


@strategies
def test_the_network_is_never_asked_beyond_the_deepest(strategy) -> None:
    denoiser, spy = spied(exact_denoiser())
    reconstruction: Reconstruction = strategy(0.4, 0.9)
    reconstruction(denoiser, normal_images(2, 1, 6, 6), SpyDraw())
    asked = max(float(denoiser.schedule.depth(t).max()) for _, t in spy.calls)
    assert asked == pytest.approx(reconstruction.deepest, rel=1e-6)


@among(STRATEGIES, HOLDING)
def test_depths_are_sorted_and_each_gives_what_it_gives_alone(strategy) -> None:
    reconstruction, x_0 = strategy(1.5, 0.2), normal_images(1, 1, 4, 4)
    assert reconstruction.depths == (0.2, 1.5)
    zero = torch.zeros_like
    both = reconstruction(exact_denoiser(), x_0, zero).x_0
    for index, depth in enumerate((0.2, 1.5)):
        alone = strategy(depth)(exact_denoiser(), x_0, zero).x_0[:, 0]
        torch.testing.assert_close(both[:, index], alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("draws", [2, 6])
def test_antithetic_pairs_cancel_where_the_denoiser_is_linear(draws: int) -> None:
    x_0, fields = normal_images(2, 3, 4, 4), SpyDraw()
    averaged = OneShot((0.3, 1.0), draws=draws)(exact_denoiser(), x_0, fields).x_0
    noise_free = OneShot((0.3, 1.0), draws=0)(exact_denoiser(), x_0, torch.zeros_like).x_0
    torch.testing.assert_close(averaged, noise_free, rtol=0, atol=1e-12)
    assert len(fields.fields) == draws  # half of them for each depth


def test_the_noise_free_start_draws_nothing() -> None:
    def refuse(like: Tensor) -> Tensor:
        raise AssertionError("Noise was drawn.")

    OneShot((0.3, 1.0), draws=0)(exact_denoiser(), normal_images(1, 1, 4, 4), refuse)


def test_one_shot_is_the_conditional_mean() -> None:
    """E[x_0 | x_t] of Gaussian images pulls each pixel towards the mean by 1 / (1 + spread^2 / depth^2)."""
    x_0 = normal_images(2, 3, 4, 4)
    reconstruction = OneShot((0.5,), draws=0)(exact_denoiser(), x_0, torch.zeros_like).x_0[:, 0]
    torch.testing.assert_close(reconstruction - 0.3, 0.5 * (x_0 - 0.3), rtol=1e-6, atol=0)


@schedules
def test_partial_diffusion_follows_the_closed_form(schedule: Schedule) -> None:
    x_0, noise = normal_images(2, 3, 4, 4), normal_images(2, 3, 4, 4, seed=1, mean=0.0, spread=1.0)
    strategy = PartialDiffusion((0.5,), steps=400, sampler=Heun())
    reconstruction = strategy(exact_denoiser(schedule), x_0, lambda like: noise).x_0[:, 0]
    # in units of alpha: mean + spread / sqrt(spread^2 + depth^2) * (x_0 + depth * noise - mean)
    exact = 0.3 + 0.5 / 0.5**0.5 * (x_0 + 0.5 * noise - 0.3)
    torch.testing.assert_close(reconstruction, exact, rtol=0, atol=2e-3)


@strategies
def test_who_judges_brings_a_map_for_every_depth_that_depends_on_no_other_image(strategy) -> None:
    reconstruction, x_0, fields = strategy(0.4, 0.9), normal_images(2, 3, 6, 6), SpyDraw()
    anomaly_maps = reconstruction(exact_denoiser(), x_0, fields).anomaly_maps
    assert (anomaly_maps is not None) == reconstruction.provides_maps
    if anomaly_maps is None:
        return
    assert anomaly_maps.shape == (2, len(reconstruction.depths), 6, 6)
    assert (anomaly_maps >= 0).all()
    replay = iter(fields.fields)
    alone = reconstruction(exact_denoiser(), x_0[1:], lambda like: next(replay)[1:])
    torch.testing.assert_close(alone.anomaly_maps[0], anomaly_maps[1], rtol=0, atol=1e-12)
