import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, laplace

from anomaly_diffusion.measures.controls import Normals, blurred_self, control_maps, control_scores, statistics
from anomaly_diffusion.types import ImageBatch


def batch(image, label=None, valid=None):
    count, _, height, width = image.shape
    valid = torch.ones(count, 1, height, width, dtype=torch.bool) if valid is None else valid
    label = torch.zeros(count, dtype=torch.bool) if label is None else label
    size = torch.tensor([[height, width]] * count)
    number = torch.arange(count)
    path = ["x.png"] * count
    return ImageBatch(image, torch.zeros_like(valid), valid, label, torch.zeros_like(number), number, size, path)


def images(count, seed=0, side=32):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_blurred_self_is_the_difference_from_a_gaussian_blur():
    image = images(1, side=64)
    blurred = gaussian_filter(image[0].numpy(), (0, 2, 2), truncate=6.0)
    expected = np.abs(image[0].numpy() - blurred).mean(0)[12:-12, 12:-12]
    found = blurred_self(image, torch.ones(1, 1, 64, 64, dtype=torch.bool))[0, 0, 12:-12, 12:-12]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_blurred_self_finds_nothing_in_a_constant_image_even_beside_padding():
    image = torch.full((1, 3, 32, 32), 0.7)
    valid = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    valid[..., 20:] = False
    image = image.masked_fill(~valid, -1)
    torch.testing.assert_close(blurred_self(image, valid), torch.zeros(1, 1, 32, 32), atol=1e-5, rtol=0)


def test_statistics_are_mean_deviation_and_deviation_of_the_laplacian():
    image = images(3)
    valid = torch.ones(3, 1, 32, 32, dtype=torch.bool)
    for row, picture in zip(statistics(image, valid).numpy(), image.mean(1).numpy(), strict=True):
        expected = picture.mean(), picture.std(), laplace(picture)[1:-1, 1:-1].std()
        np.testing.assert_allclose(row, expected, rtol=1e-4)


def test_padding_changes_no_statistic():
    image = images(2, side=16)
    padded = torch.nn.functional.pad(image, (3, 5, 4, 2), value=-1.0)
    valid = torch.nn.functional.pad(torch.ones(2, 1, 16, 16, dtype=torch.bool), (3, 5, 4, 2))
    expected = statistics(image, torch.ones(2, 1, 16, 16, dtype=torch.bool))
    torch.testing.assert_close(statistics(padded, valid), expected)


def test_normals_added_batch_by_batch_equal_normals_of_all_at_once():
    image = images(12)
    parts = Normals.of(batch(image[:5])) + Normals.of(batch(image[5:]))
    whole = Normals.of(batch(image))
    torch.testing.assert_close(parts.mean_image(), image.mean(0))
    torch.testing.assert_close(parts.distance(torch.ones(1, 3)), whole.distance(torch.ones(1, 3)))


def test_defective_images_teach_the_controls_nothing():
    image = images(6)
    label = torch.tensor([False, True, False, True, False, False])
    mixed, pure = Normals.of(batch(image, label)), Normals.of(batch(image[~label]))
    for name, value in vars(pure).items():
        assert torch.equal(vars(mixed)[name], value), name


def test_distances_are_z_scores_without_sign():
    image = images(20)
    values = statistics(image, torch.ones(20, 1, 32, 32, dtype=torch.bool))
    expected = (values - values.mean(0)).abs() / values.std(0, correction=0)
    torch.testing.assert_close(Normals.of(batch(image)).distance(values), expected, rtol=1e-3, atol=1e-3)


def test_without_normal_images_only_controls_that_need_none_remain():
    assert list(control_maps(batch(images(2)), None)) == ["blurred_self"]
    assert list(control_scores(batch(images(2)), None)) == ["brightness_raw"]


@pytest.mark.parametrize("control", ["blurred_self", "mean_image"])
def test_a_control_map_does_not_depend_on_its_neighbours(control):
    image, normals = images(4), Normals.of(batch(images(8, seed=1)))
    together = control_maps(batch(image), normals)[control]
    alone = torch.cat([control_maps(batch(one[None]), normals)[control] for one in image])
    torch.testing.assert_close(together, alone)
