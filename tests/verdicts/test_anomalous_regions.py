"""Regions against scipy's labels, and what a cut makes of normal maps."""

import numpy as np
import pytest
from scipy import ndimage

from anomaly_diffusion.verdicts.anomalous_regions import cut_of, largest_mass, quantile_of, regions


@pytest.mark.parametrize("seed", range(3))
def test_regions_are_those_of_another_labelling(seed):
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.normal(size=(40, 57)), 2).astype(np.float32) * 10
    valid = rng.random((40, 57)) > 0.02
    labels, count = ndimage.label((values > 1) & valid, np.ones((3, 3)))
    found = regions(values, valid, 1.0)
    assert len(found) == count
    places = range(1, count + 1)
    assert sorted(one.area for one in found) == sorted(ndimage.sum(labels > 0, labels, places).astype(int))
    assert sorted(one.peak for one in found) == pytest.approx(sorted(ndimage.maximum(values, labels, places)))
    expected = sorted(ndimage.sum(values.astype(float) - 1, labels, places), reverse=True)
    assert [one.mass for one in found] == pytest.approx(expected)
    boxes = {(one.x, one.y, one.width, one.height) for one in found}
    assert boxes == {(c.start, r.start, c.stop - c.start, r.stop - r.start) for r, c in ndimage.find_objects(labels)}


def test_small_and_strong_weighs_as_much_as_large_and_faint():
    values, valid = np.zeros((32, 32), np.float32), np.ones((32, 32), bool)
    values[2:4, 2:4], values[10:20, 10:20] = 26.0, 2.0
    strong, faint = regions(values, valid, 1.0)
    assert (strong.area, faint.area) == (4, 100)
    assert strong.mass == faint.mass == 100


def test_what_is_not_valid_or_above_the_cut_is_no_region():
    values, valid = np.full((8, 8), 5.0, np.float32), np.zeros((8, 8), bool)
    assert regions(values, valid, 1.0) == []
    assert largest_mass(values, ~valid, 5.0) == 0.0
    assert largest_mass(values, ~valid, 4.0) == 64.0


def test_the_cut_is_a_mean_of_quantiles_and_never_negative():
    values, valid = np.arange(100, dtype=np.float32).reshape(10, 10), np.ones((10, 10), bool)
    assert quantile_of(values, valid) == pytest.approx(94.05)
    assert cut_of(np.array([1.0, 3.0])) == pytest.approx(2 * 1.421)
    assert cut_of(np.array([-1.0])) == 0.0
