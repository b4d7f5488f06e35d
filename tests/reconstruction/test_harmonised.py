import numpy as np
import pytest
import torch
from analytic import SpyDraw, exact_denoiser, normal_images, spied
from overlays import strategy_of
from scipy import ndimage
from torch import Tensor

from anomaly_diffusion.diffusion.parametrisation import NoisePrediction
from anomaly_diffusion.diffusion.recorder import Recorder
from anomaly_diffusion.diffusion.sampler import DDIM, Heun, Sampler, falling_times
from anomaly_diffusion.diffusion.schedule import LinearBetaSchedule
from anomaly_diffusion.reconstruction.guidance import ConstantPull, RegionPull, ResidualPull
from anomaly_diffusion.reconstruction.harmonised import Harmonised
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion

SAMPLERS = {"ddim": DDIM(), "ancestral": DDIM(eta=1.0), "heun": Heun()}
samplers = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())


@samplers
def test_without_fractions_it_is_plain_partial_diffusion(sampler: Sampler) -> None:
    x_0 = normal_images(2, 3, 8, 8)
    harmonised = Harmonised((0.4, 0.9), steps=5, fractions=(), sampler=sampler)(exact_denoiser(), x_0, SpyDraw())
    plain = PartialDiffusion((0.4, 0.9), steps=5, sampler=sampler)(exact_denoiser(), x_0, SpyDraw())
    torch.testing.assert_close(harmonised.x_0, plain.x_0, rtol=0, atol=1e-12)
    assert harmonised.nfe == plain.nfe


def test_what_agrees_with_the_model_survives_and_what_does_not_is_replaced() -> None:
    x_0 = normal_images(2, 3, 16, 16, spread=0.05)
    x_0[..., 4:8, 4:8] = -0.9
    settings = {"steps": 10, "sampler": DDIM(eta=1.0)}
    denoiser = exact_denoiser(spread=0.05)
    harmonised = Harmonised((1.0,), fractions=(0.5, 0.25, 0.1), pull=ResidualPull(radius=0), **settings)(
        denoiser, x_0, SpyDraw()
    ).x_0[:, 0]
    plain = PartialDiffusion((1.0,), **settings)(denoiser, x_0, SpyDraw()).x_0[:, 0]
    assert (harmonised[..., 4:8, 4:8] - 0.3).abs().mean() < 0.1
    assert (harmonised - x_0)[..., 10:, :].abs().mean() < 0.7 * (plain - x_0)[..., 10:, :].abs().mean()


def test_blending_happens_at_the_evaluations_nearest_to_the_fractions() -> None:
    denoiser, depth = exact_denoiser(), torch.tensor([0.2, 2.0], dtype=torch.float64)
    strategy = Harmonised(steps=200, fractions=(0.8, 0.5, 0.1))
    times = falling_times(denoiser.schedule.time(depth), 200)[:-1]
    shares = denoiser.schedule.depth(times).T[strategy.blended(denoiser, depth).T].reshape(2, 3).T / depth
    torch.testing.assert_close(shares, depth.new_tensor([[0.8], [0.5], [0.1]]).expand(3, 2), rtol=0, atol=0.01)


@samplers
def test_blending_takes_no_evaluation_of_its_own(sampler: Sampler) -> None:
    denoiser, spy = spied(exact_denoiser())
    reconstruction = Harmonised((0.5, 1.0), steps=4, sampler=sampler)(denoiser, normal_images(2, 1, 8, 8), SpyDraw())
    assert reconstruction.nfe == len(spy.calls) == 2 * sampler.evaluations(4)


def test_only_some_images_are_blended_when_only_theirs_is_the_time() -> None:
    """Two images that start at different depths are each blended as they are alone."""
    x_0, depth = normal_images(2, 1, 6, 6), torch.tensor([0.2, 2.0], dtype=torch.float64)
    strategy, still = Harmonised(steps=7, fractions=(0.5,)), torch.ones_like
    together = strategy.restore(exact_denoiser(), x_0, depth, still).x_0
    for index in range(2):
        own = slice(index, index + 1)
        alone = strategy.restore(exact_denoiser(), x_0[own], depth[own], still).x_0
        torch.testing.assert_close(together[own], alone, rtol=0, atol=1e-13)


def test_a_recorder_sees_the_estimates_before_they_are_blended() -> None:
    recorder, x_0 = Recorder(exact_denoiser()), normal_images(1, 1, 6, 6)
    Harmonised((1.0,), steps=4)(recorder, x_0, SpyDraw())
    for seen in recorder.evaluations:
        assert torch.equal(seen.x_0_hat, exact_denoiser()(seen.x_t, seen.t).x_0)


@samplers
def test_an_image_put_back_entirely_at_the_last_evaluation_is_returned(sampler: Sampler) -> None:
    x_0, denoiser = normal_images(2, 1, 6, 6), exact_denoiser()
    last = float(denoiser.schedule.depth(torch.tensor(0.1, dtype=torch.float64)))  # of five from t = 0.5, depth 1
    strategy = Harmonised((1.0,), steps=5, fractions=(last,), pull=ConstantPull(1.0), sampler=sampler)
    torch.testing.assert_close(strategy(denoiser, x_0, SpyDraw()).x_0[:, 0], x_0, rtol=0, atol=1e-12)


def _region(image: Tensor, estimate: Tensor, size: int) -> Tensor:
    """THOR's map but for its perceptual factor: how much of the estimate a blend takes."""
    regions = []
    for one in (image - estimate).abs().mean(1).numpy():
        share = one / one.max()
        closing = ndimage.grey_closing(share, (size, size), mode="nearest")
        regions.append((ndimage.grey_dilation(closing, (size, size), mode="nearest") + share) / 2)
    return torch.from_numpy(np.stack(regions))[:, None]


def _thor(y: Tensor, stride: int, own_time: bool, draw: SpyDraw, size: int | None = None) -> Tensor:
    """THOR's ancestral walk from t = 250 of 1000, blending at 200, 150, 100 and 50, for images of N(0.3, 0.5^2).

    `own_time`: a blend is noised at its own t, as the authors do, instead of the time that is asked next.
    `size`: of the map's squares, blends being cut to the range of pixels; None: 0.7 of the image, not cut.
    """
    abar = torch.cat([torch.ones(1), torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0)])
    first = draw(y)
    x = abar[250].sqrt() * y + (1 - abar[250]).sqrt() * first
    for t in range(250, 0, -stride):
        a, b = abar[t], abar[t - stride]
        x_0 = 0.3 + a.sqrt() * 0.25 / (a * 0.25 + 1 - a) * (x - a.sqrt() * 0.3)
        fresh = ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
        x = b.sqrt() * x_0 + (1 - b - fresh**2).sqrt() * (x - a.sqrt() * x_0) / (1 - a).sqrt() + fresh * draw(y)
        if t in (200, 150, 100, 50):
            level = a if own_time else b
            taken = torch.tensor(0.3) if size is None else _region(y, x_0, size)
            blend = y + taken * (x_0 - y)
            x = level.sqrt() * (blend if size is None else blend.clamp(-1, 1)) + (1 - level).sqrt() * first
    return x


@pytest.mark.parametrize(("stride", "own_time", "error"), [(25, False, 1e-8), (1, False, 1e-8), (1, True, 0.02)])
def test_the_walk_is_that_of_thor(stride: int, own_time: bool, error: float) -> None:
    """A blend that is noised at its own time, though the next is asked, differs by one step of 1000."""
    x_0, schedule = normal_images(2, 3, 4, 4), LinearBetaSchedule()
    times = torch.tensor([0.25, 0.2, 0.15, 0.1, 0.05], dtype=torch.float64)
    start, *blends = schedule.depth(times).tolist()
    fractions = [depth / start for depth in blends]
    strategy = Harmonised((start,), 250 // stride, fractions, ConstantPull(0.7), DDIM(eta=1.0))
    walked = strategy(exact_denoiser(schedule, NoisePrediction()), x_0, SpyDraw()).x_0[:, 0]
    torch.testing.assert_close(walked, _thor(x_0, stride, own_time, SpyDraw()), rtol=0, atol=error)


def test_the_map_is_that_of_thor_but_for_its_perceptual_factor() -> None:
    image, estimate = normal_images(2, 1, 20, 24), normal_images(2, 1, 20, 24, seed=1)
    pull = RegionPull(5)(torch.ones(2), LinearBetaSchedule(), estimate, image)
    torch.testing.assert_close(pull, 1 - _region(image, estimate, 5), rtol=0, atol=1e-12)
    assert (RegionPull()(torch.ones(2), LinearBetaSchedule(), image, image) == 1).all()


def test_the_overlay_walks_as_thor_does() -> None:
    """But for its depth and shares, which are rounded: the authors count times from 0, of which the first has noise."""
    x_0, schedule = normal_images(2, 3, 24, 24), LinearBetaSchedule()
    walked = strategy_of("harmonised")(exact_denoiser(schedule, NoisePrediction()), x_0, SpyDraw()).x_0[:, 0]
    expected = _thor(x_0, 25, False, SpyDraw(), size=7)
    assert (walked - expected).abs().mean() < 0.01 * (x_0 - expected).abs().mean()


def test_texture_on_the_line_from_image_to_first_noise_comes_back() -> None:
    """What is held entirely ends nearer to the image than after plain guidance, which draws noise of its own."""
    x_0, schedule = normal_images(4, 3, 32, 32), LinearBetaSchedule()
    denoiser, fractions = exact_denoiser(schedule), (0.755, 0.545, 0.357, 0.184)
    kept = Harmonised((0.958,), 10, fractions, ConstantPull(1.0), DDIM(eta=1.0))(denoiser, x_0, SpyDraw()).x_0[:, 0]
    plain = Harmonised((0.958,), 10, (), ConstantPull(1.0), DDIM(eta=1.0))(denoiser, x_0, SpyDraw()).x_0[:, 0]
    assert (kept - x_0).abs().mean() < 0.25 * (plain - x_0).abs().mean()


def test_blends_are_cut_to_the_limit() -> None:
    x_0 = normal_images(2, 1, 6, 6) * 4
    at_end = {"depths": (1.0,), "steps": 5, "fractions": (0.2,), "pull": ConstantPull(1.0)}
    reconstruction = Harmonised(**at_end, limit=1.0)(exact_denoiser(), x_0, SpyDraw()).x_0
    torch.testing.assert_close(reconstruction[:, 0], x_0.clamp(-1, 1), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="`limit` must be positive, got 0"):
        Harmonised(limit=0.0)
