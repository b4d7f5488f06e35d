"""Tiles show what the records hold: every sheet and every report is made of them."""

from dataclasses import replace

import numpy as np
import pytest
from pictures import decoded

from anomaly_diffusion.figures.canvas import TRUTH
from anomaly_diffusion.figures.result_pictures import ResultPictures
from anomaly_diffusion.figures.tiles import SINGLE, legend, tile_files, tile_height, tiles


def pictures(image, mask=None, z=0.0, share=1.0):
    mask = np.zeros(image.shape[:2], bool) if mask is None else mask
    return ResultPictures("test/dent/1.png", True, 8.0, image, mask, image, share * image, np.where(mask, z, 0.0))


def share(picture, colour):
    return (np.abs(picture - np.array(colour)).max(-1) < 0.03).sum()


def square(side=64):
    mask = np.zeros((side, side), bool)
    mask[20:40, 20:40] = True
    return mask


def test_the_image_is_clean_and_the_outline_on_the_map_hides_nothing_of_the_defect():
    image = np.zeros((64, 64, 3))
    image[square()] = (1.0, 0.0, 0.0)
    drawn = tiles(pictures(image, square()), 8.0, 64)
    assert share(drawn.image, (1.0, 0.0, 0.0)) == 400
    assert share(drawn.image, TRUTH) == share(drawn.reconstruction, TRUTH) == 0
    assert share(drawn.anomaly_map, TRUTH) == 4 * 20


def test_a_difference_of_a_quarter_of_the_range_is_white():
    image = np.full((32, 32, 1), 0.8)
    levels = [tiles(pictures(image, share=kept), 8.0, 32).difference.mean() for kept in (1.0, 0.9, 0.75, 0.2)]
    assert levels == pytest.approx([0, 0.32, 0.8, 1], abs=0.01)


def test_one_colour_means_one_value():
    found = [tiles(pictures(np.full((64, 64, 1), 0.5), square(), z), 8.0, 64).anomaly_map[30, 30] for z in (4, 8, 80)]
    assert np.abs(found[0] - found[1]).max() > 0.2
    np.testing.assert_allclose(found[1], found[2])


def test_a_cross_marks_where_the_map_is_highest():
    shown = pictures(np.zeros((64, 64, 1)))
    shown.anomaly_map[50, 10] = 0.1
    drawn = tiles(shown, 8.0, 128).anomaly_map
    assert drawn[101, 21].min() == 1  # the middle of that pixel
    assert drawn[20, 100].max() < 1


def test_features_stand_beside_normal_features_in_the_same_colours():
    shown = replace(pictures(np.full((32, 32, 3), 0.25), share=2.0), photographs=False)
    drawn = tiles(shown, 8.0, 32)
    assert drawn._fields == ("image", "features", "normal_features", "anomaly_map")
    assert [tile.mean() for tile in (drawn.features, drawn.normal_features)] == pytest.approx([0.25, 0.5], abs=1e-3)
    assert set(tile_files(shown, 8.0)) == {f"{name}.png" for name in drawn._fields}
    assert "normal features" in legend(shown)[1]


def test_half_precision_is_drawn_as_the_numbers_it_stands_for():
    image = np.random.default_rng(0).uniform(size=(64, 64, 3)).round(2)
    exact, kept = (tiles(pictures(image.astype(kind), share=0.5), 8.0, 64) for kind in (np.float32, np.float16))
    for tile, other in zip(exact, kept, strict=True):
        np.testing.assert_allclose(tile, other, atol=0.6 / 255)


@pytest.mark.parametrize(
    ("size", "height"), [((64, 64), SINGLE), ((64, 48), SINGLE), ((32, 96), SINGLE // 2), ((160, 64), 426)]
)
def test_files_are_as_high_as_single_panels_and_lower_where_wide(size, height):
    shown = pictures(np.zeros((*size, 3)))
    assert tile_height(shown, SINGLE) == height
    found = {name: decoded(content).shape for name, content in tile_files(shown, 8.0).items()}
    assert set(found) == {"image.png", "reconstruction.png", "difference.png", "anomaly_map.png"}
    assert set(found.values()) == {(height, round(size[1] * height / size[0]), 3)}
