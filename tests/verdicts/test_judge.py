"""The judge: small and strong defects stand out as large and faint ones do, at the rate of false alarms asked for."""

import numpy as np
import pytest
from scipy import ndimage

from anomaly_diffusion.verdicts.anomalous_regions import cut_of, largest_mass, quantile_of
from anomaly_diffusion.verdicts.judge import Judge, NormalReference, in_place

VALID = np.ones((48, 64), bool)


def _map(rng):
    return ndimage.gaussian_filter(rng.normal(size=VALID.shape), 2).astype(np.float32) * 7


def _reference(rng, count):
    maps = [_map(rng) for _ in range(count)]
    cut = cut_of(np.array([quantile_of(one, VALID) for one in maps]))
    masses = np.array([largest_mass(one, VALID, cut) for one in maps])
    peaks = np.array([one.max() for one in maps])
    return NormalReference(peaks, peaks, masses, cut, {"brightness": rng.normal(size=300)})


@pytest.fixture(scope="module")
def judge():
    return Judge(_reference(np.random.default_rng(0), 64), 0.05)


def test_normal_images_are_alarms_as_often_as_asked():
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(20):
        judge = Judge(_reference(rng, 39), 0.05)
        for one in (_map(rng) for _ in range(40)):
            verdict = judge(float(one.max()), one, VALID, {})
            standing_out = any(region.p_value <= 0.05 for region in verdict.regions)
            seen.append((verdict.defective, standing_out, one.max() > judge.pixel_limit.value))
    assert np.mean(seen, axis=0) == pytest.approx(0.05, abs=0.025)


@pytest.mark.parametrize("defect", [(slice(20, 22), slice(30, 32), 40.0), (slice(8, 40), slice(10, 50), 3.0)])
def test_small_strong_and_large_faint_defects_are_regions(judge, defect):
    rows, columns, strength = defect
    values = np.zeros(VALID.shape, np.float32)
    values[rows, columns] = strength
    verdict = judge(strength, values, VALID, {})
    region = verdict.regions[0]
    assert (region.y, region.x) == (rows.start, columns.start)
    assert (region.height, region.width) == (rows.stop - rows.start, columns.stop - columns.start)
    assert region.p_value == pytest.approx(1 / 65)


def test_a_defective_image_whose_regions_are_ordinary_shows_the_heaviest(judge):
    values = _map(np.random.default_rng(2))
    verdict = judge(1e9, values, VALID, {})
    assert verdict.defective
    assert len(verdict.regions) >= 1


def test_the_peak_lies_within_the_photograph_and_is_compared_with_the_mask(judge):
    values, valid = np.zeros(VALID.shape, np.float32), VALID.copy()
    values[5, 60], valid[5, 60], values[30, 20] = 9.0, False, 8.0
    mask = np.zeros(VALID.shape, bool)
    mask[28:33, 22:25] = True
    verdict = judge(8.0, values, valid, {"brightness": -9.0}, mask)
    assert verdict.peak == (20, 30)
    assert verdict.in_place is False
    assert "darker than all 300" in verdict.drift
    assert in_place((21, 30), mask) is True  # one pixel off: 1/32 of the shorter side is 1.5
    assert in_place((21, 30), mask & False) is None


def test_rates_are_those_of_the_number_of_normals_or_those_asked_for():
    rng = np.random.default_rng(3)
    assert Judge(_reference(rng, 20)).rate == 0.05
    assert Judge(_reference(rng, 99)).rate == 0.01
    assert Judge(_reference(rng, 20), 0.2).rate == 0.2
    with pytest.raises(ValueError, match="false_alarms"):
        Judge(_reference(rng, 20), 1.5)
