from collections.abc import Iterator

import numpy as np
import pytest
import torch
from analytic import SpyDraw, exact_denoiser, normal_images, spied
from overlays import strategy_of
from scipy import ndimage
from torch import Tensor

from anomaly_diffusion.diffusion.parametrisation import NoisePrediction
from anomaly_diffusion.diffusion.sampler import DDIM, Heun, Sampler
from anomaly_diffusion.diffusion.schedule import LinearBetaSchedule
from anomaly_diffusion.reconstruction.mask_stitch import MaskStitchResample, Resampling
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion


def dented(count: int = 2) -> torch.Tensor:
    """Nearly equal images with a defect of 3 x 3 pixels."""
    x_0 = normal_images(count, 3, 12, 12, spread=0.02)
    x_0[..., 4:7, 5:8] = -0.9
    return x_0


def test_the_image_is_kept_to_the_last_digit_outside_the_mask() -> None:
    x_0, strategy = dented(), MaskStitchResample((1.0,), steps=4, quantile=0.9, radius=1, dilation=0)
    reconstruction = strategy(exact_denoiser(spread=0.02), x_0, SpyDraw()).x_0[:, 0]
    changed = (reconstruction != x_0).any(1).flatten(1).sum(1)
    assert (changed > 0).all()
    assert (changed <= 0.1 * 144 + 1).all()


def test_a_defect_is_what_the_mask_finds_and_the_model_repaints() -> None:
    x_0, strategy = dented(), MaskStitchResample((1.0,), steps=4, quantile=0.9, radius=0)
    denoiser = exact_denoiser(spread=0.02)
    reconstruction = strategy(denoiser, x_0, SpyDraw()).x_0[:, 0]
    torch.testing.assert_close(
        reconstruction[..., 4:7, 5:8].mean((1, 2, 3)), x_0.new_full((2,), 0.3), rtol=0, atol=0.05
    )
    assert strategy.mask(x_0, reconstruction)[..., 4:7, 5:8].all()


def test_an_image_that_the_walk_leaves_alone_has_no_mask() -> None:
    x_0 = normal_images(2, 3, 8, 8)
    assert not MaskStitchResample().mask(x_0, x_0).any()
    assert not MaskStitchResample().mask(torch.zeros_like(x_0), torch.full_like(x_0, 0.25)).any()  # equal everywhere


@pytest.mark.parametrize("quantile", [0.5, 0.75, 0.9])
def test_each_image_masks_its_own_share_however_large_the_differences_of_others(quantile: float) -> None:
    reconstruction = normal_images(3, 1, 20, 20)
    x_0 = reconstruction + normal_images(3, 1, 20, 20, seed=1) * torch.tensor([0.01, 1.0, 100.0])[:, None, None, None]
    mask = MaskStitchResample(quantile=quantile, radius=0, dilation=0).mask(x_0, reconstruction)
    assert mask.mean((1, 2, 3)).tolist() == pytest.approx([1 - quantile] * 3, abs=0.004)


@pytest.mark.parametrize("sampler", [DDIM(), DDIM(eta=1.0), Heun()], ids=["ddim", "ancestral", "heun"])
@pytest.mark.parametrize(("steps", "loops"), [(1, 1), (1, 4), (3, 1), (3, 4)])
def test_evaluations_of_all_loops_are_counted_truly(sampler: Sampler, steps: int, loops: int) -> None:
    denoiser, spy = spied(exact_denoiser())
    strategy = MaskStitchResample((0.5,), steps=2, resampling=Resampling(0.25, steps, loops, sampler))
    assert strategy(denoiser, dented(), SpyDraw()).nfe == len(spy.calls)


def test_resampling_starts_at_its_share_of_the_depth() -> None:
    denoiser, spy = spied(exact_denoiser())
    MaskStitchResample((0.8,), steps=3, resampling=Resampling(share=0.25))(denoiser, dented(), SpyDraw())
    assert float(denoiser.schedule.depth(spy.calls[3][1][0])) == pytest.approx(0.2)


def test_at_every_time_the_unmasked_part_is_the_noised_image() -> None:
    """What the network sees there has the mean alpha_t * image and the variance sigma_t^2, in every loop."""
    denoiser, spy = spied(exact_denoiser())
    image, mask = torch.full((1, 1, 60, 60), 0.8, dtype=torch.float64), torch.zeros(1, 1, 60, 60, dtype=torch.float64)
    Resampling(1.0, steps=3, loops=3)(denoiser, image, image, mask, image.new_tensor([1.0]), SpyDraw())
    for x_t, t in spy.calls:
        alpha_t, sigma_t = denoiser.schedule(t[0])
        assert float(x_t.mean()) == pytest.approx(float(alpha_t * 0.8), abs=0.05)
        assert float(x_t.std()) == pytest.approx(float(sigma_t), rel=0.05)


def test_where_everything_is_masked_one_loop_is_a_plain_walk() -> None:
    x_0, depth, resampling = normal_images(2, 1, 4, 4), torch.tensor([0.3, 0.9], dtype=torch.float64), Resampling(1.0)
    resampling.loops = 1
    ones, draw = torch.ones_like(x_0), SpyDraw()
    walked = resampling(exact_denoiser(), x_0, x_0, ones, depth, draw)
    first = draw.fields[0]
    plain = PartialDiffusion(steps=5).restore(exact_denoiser(), x_0, depth, lambda like: first).x_0
    torch.testing.assert_close(walked, plain, rtol=0, atol=1e-12)


def _autoddpm(y: Tensor, noises: Iterator[Tensor], stride: int, loops: int) -> tuple[Tensor, Tensor]:
    """AutoDDPM's walks from t = 200 and 50 for images of N(0.3, 0.5^2): the mask, and the reconstruction."""
    abar = torch.cat([torch.ones(1), torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0)])

    def noised(x_0: Tensor, t: int) -> Tensor:
        return abar[t].sqrt() * x_0 + (1 - abar[t]).sqrt() * next(noises)

    def ancestral(x: Tensor, t: int) -> Tensor:
        a, b = abar[t], abar[t - stride]
        x_0 = 0.3 + a.sqrt() * 0.25 / (a * 0.25 + 1 - a) * (x - a.sqrt() * 0.3)
        beta = 1 - a / b  # the mean and variance of q(x_s | x_t, x_0)
        mean = b.sqrt() * beta / (1 - a) * x_0 + (a / b).sqrt() * (1 - b) / (1 - a) * x
        return mean + (beta * (1 - b) / (1 - a)).sqrt() * next(noises)

    x = noised(y, 200)
    for t in range(200, 0, -stride):
        x = ancestral(x, t)
    away = (x - y).abs().mean(1, keepdim=True)
    rough = [(one > np.quantile(one.numpy(), 0.9))[0].numpy() for one in away]
    mask = torch.from_numpy(np.stack([ndimage.binary_dilation(one, np.ones((3, 3))) for one in rough]))[:, None]
    x = noised(torch.where(mask, x, y), 50)
    for t in range(50, 0, -stride):
        for loop in range(loops if t > stride else 1):
            painted = ancestral(x, t)
            x = torch.where(mask, painted, noised(y, t - stride))
            if loop + 1 < loops and t > stride:
                kept = abar[t] / abar[t - stride]
                x = kept.sqrt() * x + (1 - kept).sqrt() * next(noises)
    return mask, x


def test_mask_stitch_and_resampling_are_those_of_autoddpm() -> None:
    schedule, x_0, ancestral = LinearBetaSchedule(), normal_images(2, 3, 16, 16), DDIM(eta=1.0)
    depth, shallow = schedule.depth(torch.tensor([0.2, 0.05], dtype=torch.float64)).tolist()
    assert schedule.depth(torch.tensor([0.201, 0.051], dtype=torch.float64)).tolist() == pytest.approx(
        [0.724, 0.243 * 0.724],
        abs=5e-4,  # the authors count times from 0, of which the first has noise already
    )
    strategy = MaskStitchResample((depth,), 20, ancestral, 0.9, 0, 1, Resampling(shallow / depth, 5, 5, ancestral))
    draw = SpyDraw()
    reconstruction = strategy(exact_denoiser(schedule, NoisePrediction()), x_0, draw).x_0[:, 0]
    mask, expected = _autoddpm(x_0, iter(draw.fields), stride=10, loops=5)
    assert 0.1 < mask.double().mean() < 0.7
    torch.testing.assert_close(reconstruction, expected, rtol=0, atol=1e-8)


def test_the_overlay_has_the_settings_of_autoddpm() -> None:
    strategy = strategy_of("mask_stitch")
    assert isinstance(strategy, MaskStitchResample)
    assert (strategy.depths, strategy.quantile, strategy.dilation) == ((0.724,), 0.95, 1)
    assert (strategy.resampling.loops, strategy.resampling.share) == (5, 0.243)
    assert all(isinstance(one, DDIM) and one.eta == 1 for one in (strategy.sampler, strategy.resampling.sampler))


def test_defaults_are_those_of_autoddpm() -> None:
    strategy = MaskStitchResample()
    assert strategy.depths == (0.724,)
    assert (strategy.dilation, strategy.resampling.loops, strategy.resampling.share) == (1, 5, 0.243)
    with pytest.raises(ValueError, match="`dilation` must not be negative, got -1"):
        MaskStitchResample(dilation=-1)
