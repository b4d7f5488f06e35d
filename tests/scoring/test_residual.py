import numpy as np
import pytest
import torch
from analytic import seeded
from frozen_networks import TinyFeatures, random_lpips
from scipy import ndimage
from skimage.metrics import structural_similarity

from anomaly_diffusion.scoring.perceptual import FeatureCosineResidual
from anomaly_diffusion.scoring.residual import (
    GradientSimilarityResidual,
    L1Residual,
    L2Residual,
    Residual,
    SSIMResidual,
)

OF_ANY_SIZE = [L1Residual(), L2Residual(), SSIMResidual(), GradientSimilarityResidual(), GradientSimilarityResidual(1)]
COSINE = [FeatureCosineResidual(TinyFeatures(), corners=False), FeatureCosineResidual(TinyFeatures(), 2, corners=False)]
LOCAL = [*OF_ANY_SIZE, *COSINE]
STRETCHED = [FeatureCosineResidual(TinyFeatures()), random_lpips()]  # their grids do not fit the pixels exactly
RESIDUALS = [*LOCAL, *STRETCHED]


def parametrised(residuals: list[Residual]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("residual", residuals, ids=lambda residual: type(residual).__name__)


residuals = parametrised(RESIDUALS)


def _pair(height: int = 48, width: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Two smooth, related images, as an image and its reconstruction are."""
    fields = torch.rand(4, 3, height // 4, width // 4, generator=seeded()) * 2 - 1
    smooth = torch.nn.functional.interpolate(fields, size=(height, width), mode="bilinear")
    return smooth[:2], (0.7 * smooth[:2] + 0.3 * smooth[2:]).clamp(-1, 1)


@residuals
@pytest.mark.parametrize("kind", ["random", "flat", "extreme"])
def test_an_image_does_not_differ_from_itself(residual: Residual, kind: str) -> None:
    images = {"random": _pair()[0], "flat": torch.full((1, 3, 24, 24), 0.9), "extreme": _pair()[0].sign()}
    assert not residual(images[kind], images[kind].clone()).any()


@residuals
def test_a_residual_is_never_negative_and_sees_a_difference(residual: Residual) -> None:
    difference = residual(*_pair())
    assert difference.min() >= 0
    assert difference.mean() > 1e-3


@residuals
def test_image_and_reconstruction_are_interchangeable(residual: Residual) -> None:
    image, reconstruction = _pair()
    torch.testing.assert_close(residual(image, reconstruction), residual(reconstruction, image))


@parametrised(LOCAL)
def test_a_residual_moves_with_the_image(residual: Residual) -> None:
    """Away from the border, and by whole cells of the coarsest scale."""
    image, reconstruction = _pair(96, 96)
    moved = residual(image.roll((8, 16), (2, 3)), reconstruction.roll((8, 16), (2, 3)))
    expected = residual(image, reconstruction).roll((8, 16), (2, 3))
    inner = (..., slice(24, -16), slice(32, -16))
    torch.testing.assert_close(moved[inner], expected[inner], rtol=0, atol=1e-6)


@parametrised(LOCAL)
def test_a_residual_stays_near_the_difference(residual: Residual) -> None:
    image, _ = _pair(96, 96)
    changed = image.clone()
    changed[..., 44:52, 44:52] += 0.5
    inside = residual(image, changed.clamp(-1, 1))
    outside = inside.clone()
    outside[..., 24:72, 24:72] = 0
    assert not outside.any()
    assert inside.any()


@residuals
def test_each_image_is_compared_alone(residual: Residual) -> None:
    image, reconstruction = _pair()
    alone = torch.cat([residual(image[i : i + 1], reconstruction[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(residual(image, reconstruction), alone, rtol=0, atol=1e-6)


@parametrised(OF_ANY_SIZE)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 7), (17, 5)])
def test_small_and_odd_images_have_maps_of_their_size(residual: Residual, height: int, width: int) -> None:
    image = torch.rand(1, 1, height, width, generator=seeded())
    assert residual(image, -image).shape == (1, 1, height, width)


def test_l1_and_l2_by_hand() -> None:
    image = torch.tensor([0.5, -1.0, 0.0]).reshape(1, 3, 1, 1)
    reconstruction = torch.tensor([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1)
    assert L1Residual()(image, reconstruction).item() == pytest.approx((0.5 + 2.0) / 3)
    assert L2Residual()(image, reconstruction).item() == pytest.approx((0.25 + 4.0) / 3)


def test_ssim_is_that_of_scikit_image() -> None:
    image, reconstruction = _pair()
    _, reference = structural_similarity(
        *(x[0].permute(1, 2, 0).double().numpy() + 1 for x in (image, reconstruction)),
        data_range=2.0,
        gaussian_weights=True,
        use_sample_covariance=False,
        channel_axis=2,
        full=True,
    )
    ours = 1 - 2 * SSIMResidual(sigma=1.5)(image, reconstruction)[0, 0].double().numpy()
    margin = 6  # they reflect the border, we repeat it
    inner = slice(margin, -margin), slice(margin, -margin)
    np.testing.assert_allclose(ours[inner], reference.mean(2)[inner], rtol=0, atol=1e-5)


def test_gradient_similarity_of_one_scale_is_that_of_its_formula() -> None:
    image, reconstruction = _pair()
    x, y = (part[0].mean(0).double().numpy() for part in (image, reconstruction))
    x_edge, y_edge = (
        np.hypot(ndimage.prewitt(part, 0, mode="nearest"), ndimage.prewitt(part, 1, mode="nearest")) / 3
        for part in (x, y)
    )
    reference = 1 - (2 * x_edge * y_edge + 0.01) / (x_edge**2 + y_edge**2 + 0.01)
    ours = GradientSimilarityResidual(scales=1, stability=0.01)(image, reconstruction)[0, 0]
    np.testing.assert_allclose(ours.double().numpy(), reference, rtol=0, atol=1e-5)


def test_gradient_similarity_averages_its_scales() -> None:
    image, reconstruction = _pair(64, 64)
    one = GradientSimilarityResidual(scales=1)
    halves = [torch.nn.functional.avg_pool2d(part, 2) for part in (image, reconstruction)]
    coarse = torch.nn.functional.interpolate(one(*halves), scale_factor=2, mode="bilinear")
    expected = (one(image, reconstruction) + coarse) / 2
    torch.testing.assert_close(GradientSimilarityResidual(scales=2)(image, reconstruction), expected)


@pytest.mark.parametrize("residual", [SSIMResidual(), GradientSimilarityResidual()])
def test_structure_matters_more_than_brightness(residual: Residual) -> None:
    image, _ = _pair()
    image = image * 0.5
    brighter, flattened = image + 0.1, image.mean((2, 3), keepdim=True).expand_as(image)
    assert residual(image, brighter).mean() < 0.2 * residual(image, flattened).mean()


def test_four_scales_are_those_of_riad() -> None:
    """1 - the mean over four scales of (2 a b + c) / (a^2 + b^2 + c), for pixels in [0, 1] and c = 0.0026."""
    image, reconstruction = _pair(64, 64)
    x, y = (((part[0] + 1) / 2).mean(0).double().numpy() for part in (image, reconstruction))
    total = np.zeros((64, 64))
    for scale in range(4):
        a, b = (np.hypot(*(ndimage.prewitt(part, axis, mode="constant") / 3 for axis in (0, 1))) for part in (x, y))
        similarity = (2 * a * b + 0.0026) / (a**2 + b**2 + 0.0026)
        place = (np.arange(64) + 0.5) / 2**scale - 0.5
        total += ndimage.map_coordinates(similarity, np.meshgrid(place, place, indexing="ij"), order=1, mode="nearest")
        half = len(x) // 2
        x, y = (part.reshape(half, 2, half, 2).mean((1, 3)) for part in (x, y))
    ours = GradientSimilarityResidual(scales=4, stability=4 * 0.0026)(image, reconstruction)[0, 0].numpy()
    inner = slice(24, 40), slice(24, 40)  # their borders are zero, ours repeat
    np.testing.assert_allclose(ours[inner], (1 - total / 4)[inner], rtol=0, atol=1e-5)
