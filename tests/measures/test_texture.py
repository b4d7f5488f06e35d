import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, uniform_filter

from anomaly_diffusion.measures.texture import LEVELS, cooccurrence, cooccurrence_distance, texture_statistics
from anomaly_diffusion.measures.windows import grown, mean_inside, window_mean

INSIDE = torch.ones(2, 1, 64, 64, dtype=torch.bool)


def noise(seed=0, count=2):
    return 0.3 * torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def blurred(images):
    return torch.stack(
        [torch.stack([torch.from_numpy(cv2.GaussianBlur(c.numpy(), (0, 0), 1.5)) for c in i]) for i in images]
    )


def test_a_ramp_has_its_slope_and_white_noise_its_variance():
    ramp = torch.arange(64.0).expand(1, 1, 64, 64) * 0.01
    within = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    within[..., 8:-8, 8:-8] = True
    found = texture_statistics(ramp, within)
    assert float(found.gradient) == pytest.approx(0.01, rel=1e-4)
    assert float(found.variance) == pytest.approx(4 * 1e-4, rel=1e-3)  # of seven equal steps
    rough = texture_statistics(noise()[:, :1])
    torch.testing.assert_close(rough.variance, torch.full((2,), 0.09 * 48 / 49), rtol=0.06, atol=0)


def test_contrast_scales_gradient_once_and_variance_twice():
    one, half = texture_statistics(noise()), texture_statistics(0.5 * noise())
    torch.testing.assert_close(half.gradient, 0.5 * one.gradient)
    torch.testing.assert_close(half.variance, 0.25 * one.variance)


def test_a_blur_loses_roughness():
    sharp, soft = texture_statistics(noise()), texture_statistics(blurred(noise()))
    assert (soft.gradient < 0.2 * sharp.gradient).all()
    assert (soft.variance < 0.2 * sharp.variance).all()


def test_pixels_outside_have_no_say():
    inside = INSIDE.clone()
    inside[..., 32:, :] = False
    spoilt = noise().clone()
    spoilt[..., 40:, :] = 1
    for found, expected in zip(texture_statistics(spoilt, inside), texture_statistics(noise(), inside), strict=True):
        torch.testing.assert_close(found, expected)
    assert (cooccurrence_distance(noise(), spoilt, inside) == 0).all()


def test_matrices_are_those_of_neighbours_that_both_count():
    levels = np.array([[1, 2, 0], [1, 1, 3]], dtype=np.uint8)
    right, below = np.moveaxis(cooccurrence(levels), -1, 0)
    assert [right.sum(), below.sum()] == pytest.approx([1, 1])
    assert right.shape == (LEVELS, LEVELS)
    assert right[0, 0] == pytest.approx(1 / 3)  # 1-1; the pairs are 1-2, 1-1 and 1-3
    assert right[0, 1] == right[1, 0] == right[0, 2] == right[2, 0] == pytest.approx(1 / 6)
    assert below[0, 0] == pytest.approx(1 / 2)  # 1-1 and 2-1


def test_a_copy_has_no_distance_another_patch_of_the_same_texture_little_and_a_blur_much():
    images = noise()
    assert (cooccurrence_distance(images, images, INSIDE) == 0).all()
    same, soft = (
        cooccurrence_distance(images, noise(seed=1), INSIDE),
        cooccurrence_distance(images, blurred(images), INSIDE),
    )
    assert (same < 0.15).all()
    assert (soft > 0.5).all()
    assert (soft <= 1).all()


def test_windows_and_growth_agree_with_the_library():
    x = noise()[:, :1]
    np.testing.assert_allclose(window_mean(x)[0, 0], uniform_filter(x[0, 0].numpy(), 7, mode="mirror"), atol=1e-6)
    mask = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)) > 0.995
    for margin in (0, 3, 100):
        expected = binary_dilation(mask[0, 0].numpy(), np.ones((2 * margin + 1, 2 * margin + 1)))
        np.testing.assert_array_equal(grown(mask, margin)[0, 0], expected)


def test_a_mean_over_nothing_is_not_a_number():
    means = mean_inside(noise()[:, :1], INSIDE & torch.tensor([True, False])[:, None, None, None])
    assert means.isnan().tolist() == [False, True]
