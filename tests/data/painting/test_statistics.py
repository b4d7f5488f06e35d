"""What defects measure, on shapes and levels that are known."""

import numpy as np
import pytest
from canvases import scene, texture, thing

from anomaly_diffusion.data.painting.foreground import foreground
from anomaly_diffusion.data.painting.statistics import defect_statistics


def test_a_bar_measures_what_it_was_made_of():
    generator = np.random.default_rng(0)
    image, mask = generator.normal(100, 10, (256, 256)), np.zeros((256, 256), bool)
    mask[100:108, 60:180] = True
    image[mask] = generator.normal(150, 20, mask.sum())
    (found,) = defect_statistics(image[..., None].round().clip(0, 255).astype(np.uint8), mask)
    assert found.width == pytest.approx(8 / 256, rel=0.05)
    assert found.elongation == pytest.approx(120 / 8, rel=0.1)
    assert found.cnr == pytest.approx(5, rel=0.15)
    assert found.std_ratio == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 9])
def test_even_and_odd_widths_are_told_apart(width):
    mask = np.zeros((200, 200), bool)
    mask[50 : 50 + width, 20:120] = True
    assert defect_statistics(texture((200, 200, 1)), mask)[0].width == pytest.approx(width / 200, rel=0.05)


def test_defects_are_measured_each_and_alike_at_every_size():
    small, mask = scene(192, 256), np.zeros((192, 256), bool)
    mask[40:52, 40:100], mask[100:120, 150:170] = True, True
    large, large_mask = small.repeat(4, 0).repeat(4, 1), mask.repeat(4, 0).repeat(4, 1)
    for one, other in zip(defect_statistics(small, mask), defect_statistics(large, large_mask), strict=True):
        assert (one.cnr, one.width, one.elongation, one.std_ratio) == pytest.approx(
            (other.cnr, other.width, other.elongation, other.std_ratio), rel=0.01
        )
    assert len(defect_statistics(small, mask)) == 2
    assert defect_statistics(small, np.zeros_like(mask)) == []


def test_a_defect_thinner_than_a_pixel_of_the_copy_is_not_lost():
    mask = np.zeros((2048, 2048), bool)
    mask[1000:1003, 200:1800] = True
    (found,) = defect_statistics(np.full((2048, 2048, 1), 100, np.uint8), mask)
    assert found.width == pytest.approx(1 / 256, rel=0.05)


@pytest.mark.parametrize("size", [(256, 256), (120, 200), (64, 64)], ids=str)
def test_an_object_is_told_from_uniform_surroundings(size):
    for seed in range(5):
        image, where = thing(size, seed)
        found = foreground(image[..., 0].astype(np.float32))
        assert (found & where).sum() / (found | where).sum() > 0.8


@pytest.mark.parametrize("name", ["brick", "grass", "gravel"])
def test_a_texture_is_all_foreground(name):
    from skimage import data

    photograph = getattr(data, name)().astype(np.float32)
    parts = [
        photograph[row : row + 64, column : column + 64] for row in range(0, 440, 80) for column in range(0, 440, 80)
    ]
    assert np.mean([foreground(part).all() for part in parts]) > 0.9
