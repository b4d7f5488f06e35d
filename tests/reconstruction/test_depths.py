import pytest
import torch
from analytic import SpyDraw, exact_denoiser, normal_images, spied
from torch import Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.parametrisation import ImagePrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.unet import Backbone
from anomaly_diffusion.reconstruction.adaptive import AdaptiveDepth
from anomaly_diffusion.reconstruction.depths import DepthList, LogRange, as_depths
from anomaly_diffusion.reconstruction.one_shot import OneShot

CANDIDATES = (0.2, 0.5, 1.0)


class Threshold(Backbone):
    """At a depth, forgets what is fainter than it and keeps the rest: a spot shows from its own brightness on."""

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha_t, sigma_t = (scale[:, None, None, None] for scale in CosineSchedule()(t))
        image = x_t / alpha_t
        return torch.where(image.abs() > sigma_t / alpha_t, image, 0)


def spots(*brightness: float) -> Tensor:
    """Faint images, each with a spot of its own brightness."""
    images = torch.full((len(brightness), 1, 16, 16), 0.01, dtype=torch.float64)
    images[:, :, 5:8, 9:12] = torch.tensor(brightness, dtype=torch.float64)[:, None, None, None]
    return images


def thresholding() -> Denoiser:
    return Denoiser(Threshold(), CosineSchedule(), ImagePrediction())


def test_a_log_range_grows_by_one_factor_from_end_to_end() -> None:
    depths = torch.tensor(LogRange(0.1, 1.6, 5).labels, dtype=torch.float64)
    assert (float(depths[0]), float(depths[-1])) == (0.1, 1.6)
    torch.testing.assert_close(depths[1:] / depths[:-1], torch.full_like(depths[1:], 2), rtol=1e-12, atol=0)


def test_numbers_are_a_list_and_depths_are_left_alone() -> None:
    depths = LogRange(0.1, 1.0, 3)
    assert as_depths(depths) is depths
    assert as_depths([0.5, 0.2]).labels == DepthList([0.2, 0.5]).labels == (0.2, 0.5)


def test_each_image_gets_the_shallowest_depth_that_shows_its_spot_or_the_deepest() -> None:
    images = spots(0.9, 0.15, 0.4, 5.0)
    depths = AdaptiveDepth(CANDIDATES, threshold=3.0)(thresholding(), images, torch.zeros_like)
    assert depths.tolist() == [[1.0], [0.2], [0.5], [1.0]]


def test_an_image_chooses_alone_as_it_does_among_others() -> None:
    images, choose = spots(0.9, 0.15, 0.4), AdaptiveDepth(CANDIDATES, threshold=3.0)
    together = choose(thresholding(), images, torch.zeros_like)
    alone = [choose(thresholding(), image[None], torch.zeros_like) for image in images]
    assert torch.equal(torch.cat(alone), together)


def test_an_image_without_a_spot_gets_the_deepest() -> None:
    images = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    assert AdaptiveDepth(CANDIDATES, threshold=3.0)(thresholding(), images, torch.zeros_like).tolist() == [[1.0]]


def test_a_higher_threshold_never_gives_a_shallower_depth() -> None:
    images, denoiser = normal_images(20, 1, 16, 16) ** 3, thresholding()
    chosen = [AdaptiveDepth(CANDIDATES, value)(denoiser, images, torch.zeros_like) for value in (2.0, 3.0, 4.0, 6.0)]
    assert (torch.cat(chosen, dim=1).diff(dim=1) >= 0).all()
    assert len(torch.cat(chosen).unique()) == 3


def test_prominence_does_not_depend_on_contrast() -> None:
    images, estimates = normal_images(3, 3, 8, 8), normal_images(3, 3, 8, 8, seed=1)
    prominence = AdaptiveDepth(CANDIDATES, threshold=3.0).prominence
    fainter = prominence(images, images + 1e-3 * (estimates - images))
    torch.testing.assert_close(fainter, prominence(images, estimates), rtol=1e-9, atol=0)


def test_every_image_is_restored_from_the_depth_it_has_chosen() -> None:
    denoiser, spy = spied(thresholding())
    choose = AdaptiveDepth(CANDIDATES, threshold=3.0)
    reconstruction = OneShot(choose, draws=1)(denoiser, spots(0.9, 0.15, 0.4), SpyDraw())
    asked = [denoiser.schedule.depth(t) for _, t in spy.calls]
    assert reconstruction.nfe == len(asked) == len(CANDIDATES) + 1
    expected = torch.tensor([1.0, 0.2, 0.5], dtype=torch.float64)
    torch.testing.assert_close(asked[-1], expected, rtol=1e-6, atol=0)


def test_a_single_candidate_is_a_fixed_depth() -> None:
    x_0 = normal_images(2, 3, 8, 8)
    chosen = OneShot(AdaptiveDepth((0.6,), threshold=3.0))(exact_denoiser(), x_0, torch.zeros_like).x_0
    assert torch.equal(chosen, OneShot((0.6,))(exact_denoiser(), x_0, torch.zeros_like).x_0)


@pytest.mark.parametrize("depths", [LogRange(0.2, 1.0, 3), AdaptiveDepth(CANDIDATES, 3.0), DepthList([0.3])])
def test_there_is_one_label_for_each_column_of_depths(depths) -> None:
    chosen = depths(exact_denoiser(), normal_images(2, 1, 8, 8), torch.zeros_like)
    assert chosen.shape[1] == len(depths.labels)
    assert float(chosen.max()) <= depths.deepest
