import pytest
import torch
from analytic import SpyDraw, exact_denoiser, normal_images, spied
from torch import Tensor

from anomaly_diffusion.diffusion.sampler import DDIM, Heun, Sampler
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.posterior import PosteriorAverage


def variance_of(strategy: PosteriorAverage, x_0: Tensor, mean: Tensor, anomaly_maps: Tensor) -> Tensor:
    """What the map says of the spread of the walks; exact for one channel."""
    return ((x_0 - mean) / anomaly_maps).square() - strategy.floor**2


@pytest.mark.parametrize("depth", [0.3, pytest.param(1.0, marks=pytest.mark.soak)])
def test_mean_and_variance_are_those_of_the_posterior(depth: float) -> None:
    """With w = spread^2 / (spread^2 + depth^2): mean + w * (x_0 - mean), and depth^2 * w * (1 + w)."""
    strategy = PosteriorAverage((depth,), samples=16, steps=200)
    x_0 = normal_images(1, 1, 1, 4).expand(60, 1, 4, 4)
    reconstruction = strategy(exact_denoiser(), x_0, SpyDraw())
    mean, w = reconstruction.x_0[:, 0], 0.25 / (0.25 + depth**2)
    # 3840 samples of each of four values: standard errors of 0.01 at most, and of 1.2 % of the variance;
    # the error of 200 steps is another 1.5 %
    torch.testing.assert_close(mean.mean((0, 2)), 0.3 + w * (x_0[0, :, 0] - 0.3), rtol=0, atol=0.03)
    variance = variance_of(strategy, x_0, mean, reconstruction.anomaly_maps)
    assert float(variance.mean()) == pytest.approx(depth**2 * w * (1 + w), rel=0.04)


def test_evidence_is_the_distance_from_the_mean_in_the_spread_of_the_walks() -> None:
    x_0, draw = normal_images(2, 3, 4, 4), SpyDraw()
    strategy = PosteriorAverage((0.6,), samples=5, steps=3, floor=0.1)
    reconstruction = strategy(exact_denoiser(), x_0, draw)
    replay, walk = iter(draw.fields), PartialDiffusion((0.6,), steps=3, sampler=DDIM(eta=1.0))
    walks = torch.stack([walk(exact_denoiser(), x_0, lambda like: next(replay)).x_0[:, 0] for _ in range(5)])
    torch.testing.assert_close(reconstruction.x_0[:, 0], walks.mean(0))
    distance = (x_0 - walks.mean(0)).square() / (walks.var(0) + 0.01)
    torch.testing.assert_close(reconstruction.anomaly_maps[:, 0], distance.mean(1).sqrt())


def test_a_model_without_doubt_is_held_to_the_floor() -> None:
    """Images without spread have one reconstruction only: the map is the root mean square difference over floor."""
    x_0, strategy = normal_images(2, 3, 4, 4), PosteriorAverage((0.5,), floor=0.2)
    anomaly_maps = strategy(exact_denoiser(spread=0.0), x_0, SpyDraw()).anomaly_maps
    torch.testing.assert_close(anomaly_maps[:, 0], (x_0 - 0.3).square().mean(1).sqrt() / 0.2)


def test_the_same_difference_counts_less_where_the_model_is_less_sure() -> None:
    x_0 = torch.full((1, 3, 4, 4), 1.3, dtype=torch.float64)
    sure, unsure = (
        PosteriorAverage((2.0,), steps=20)(exact_denoiser(spread=spread), x_0, SpyDraw()).anomaly_maps.mean()
        for spread in (0.1, 0.5)
    )
    assert sure > 2 * unsure


@pytest.mark.parametrize("sampler", [DDIM(eta=0.5), Heun()], ids=["ddim", "heun"])
@pytest.mark.parametrize("samples", [2, 3])
def test_evaluations_of_all_walks_are_counted_truly(sampler: Sampler, samples: int) -> None:
    denoiser, spy = spied(exact_denoiser())
    strategy = PosteriorAverage((0.4, 0.8), samples, steps=3, sampler=sampler)
    assert strategy(denoiser, normal_images(2, 1, 4, 4), SpyDraw()).nfe == len(spy.calls)
    assert len(spy.calls) == 2 * samples * sampler.evaluations(3)
