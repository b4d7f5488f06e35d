"""Drift is told where a photograph is unlike all normal ones, and seldom elsewhere."""

import numpy as np
import pytest

from anomaly_diffusion.verdicts.drift import STATISTICS, drift


def _normals(rng, count):
    return {name: rng.normal(size=count) for name in STATISTICS}


@pytest.mark.parametrize("count", [8, 40, 320])
def test_what_is_like_the_others_drifts_seldom(count):
    rng = np.random.default_rng(0)
    told = [drift({name: rng.normal() for name in STATISTICS}, _normals(rng, count)) for _ in range(1500)]
    assert np.mean([bool(one) for one in told]) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1500)


@pytest.mark.parametrize("count", [8, 40, 320])
@pytest.mark.parametrize("side", [0, 1])
def test_each_statistic_is_told_in_its_direction(count, side):
    normals = _normals(np.random.default_rng(1), count)
    for name, words in STATISTICS.items():
        told = drift(dict.fromkeys(STATISTICS, 0.0) | {name: (-12.0, 12.0)[side]}, normals)
        assert told.startswith(f"{words[side]} than all {count} normal photographs")
        assert ("extrapolated" in told) == (count < 159)


def test_what_nobody_measured_says_nothing():
    assert drift({"brightness": 99.0}, {}) == ""
    assert drift({"brightness": 99.0}, {"brightness": np.array([1.0])}) == ""
    assert "brighter" in drift({"brightness": 99.0}, {"brightness": np.ones(20), "contrast": np.zeros(0)})
