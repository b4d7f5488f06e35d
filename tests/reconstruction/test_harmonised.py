import pytest
import torch
from analytic import SpyDraw, exact_denoiser, normal_images, spied

from anomaly_diffusion.diffusion.recorder import Recorder
from anomaly_diffusion.diffusion.sampler import DDIM, Heun, Sampler
from anomaly_diffusion.reconstruction.guidance import ConstantPull, ResidualPull
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
    shares = denoiser.schedule.depth(strategy.blended_times(denoiser, depth)) / depth
    torch.testing.assert_close(shares, depth.new_tensor([[0.8], [0.5], [0.1]]).expand(3, 2), rtol=0, atol=0.01)


@samplers
def test_blending_takes_no_evaluation_of_its_own(sampler: Sampler) -> None:
    denoiser, spy = spied(exact_denoiser())
    healthy = Harmonised((0.5, 1.0), steps=4, sampler=sampler)(denoiser, normal_images(2, 1, 8, 8), SpyDraw())
    assert healthy.nfe == len(spy.calls) == 2 * sampler.evaluations(4)


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
