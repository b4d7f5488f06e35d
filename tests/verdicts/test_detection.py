"""Laws of the detection curve: what simulated hits say, another program's fit, and what no curve can be fitted to."""

import math

import numpy as np
import pytest
from scipy import optimize, special

from anomaly_diffusion.verdicts.detection import DetectionCurve, Undetermined


def drawn(rng, a50, slope, count):
    sizes = np.exp(rng.uniform(np.log(0.006), np.log(0.08), count))
    return sizes, rng.random(count) < special.expit(slope * np.log(sizes / a50))


def covered(a50, slope, count, simulations=300, seed=0):
    """How often the intervals of intercept and slope hold the truth, and a90/95 is no less than the true a90."""
    rng, held = np.random.default_rng(seed), np.zeros(3)
    a90 = a50 * 9 ** (1 / slope)
    for _ in range(simulations):
        curve = DetectionCurve(*drawn(rng, a50, slope, count))
        truth = np.array([-slope * math.log(a50), slope])
        ends = curve.intervals()
        held += [*((ends[:, 0] <= truth) & (truth <= ends[:, 1])), a90 <= curve.bound(0.9)]
    return held / simulations


def test_simulated_hits_lie_within_the_intervals():
    assert (covered(0.02, 3.0, 120) >= 0.93).all()


@pytest.mark.soak
@pytest.mark.parametrize("count", [60, 240])
@pytest.mark.parametrize(("a50", "slope"), [(0.02, 2.0), (0.02, 4.0), (0.012, 3.0)])
def test_simulated_hits_lie_within_the_intervals_of_other_curves(a50, slope, count):
    assert (covered(a50, slope, count, simulations=1000) >= 0.93).all()


def test_a90_over_95_is_no_more_careful_than_it_says():
    assert covered(0.02, 3.0, 240)[2] < 0.99


def test_the_curve_maximises_the_penalised_likelihood():
    sizes, hits = drawn(np.random.default_rng(1), 0.02, 3.0, 80)

    def lost(coefficients):
        columns = np.stack([np.ones(80), np.log(sizes)], 1)
        odds = columns @ coefficients
        weight = special.expit(odds) * special.expit(-odds)
        information = columns.T @ (weight[:, None] * columns)
        return np.logaddexp(0, np.where(hits, -odds, odds)).sum() - np.linalg.slogdet(information)[1] / 2

    curve = DetectionCurve(sizes, hits)
    best = optimize.minimize(lost, [10.0, 3.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12})
    assert [curve.intercept, curve.slope] == pytest.approx(best.x, rel=1e-5)


def test_many_hits_give_the_fit_and_the_covariance_of_statsmodels():
    reason = "statsmodels brings pandas, too much for one regression: installed by hand where this is to be checked"
    api = pytest.importorskip("statsmodels.api", reason=reason)
    sizes, hits = drawn(np.random.default_rng(2), 0.02, 3.0, 20_000)
    curve = DetectionCurve(sizes, hits)
    theirs = api.Logit(hits.astype(float), api.add_constant(np.log(sizes))).fit(disp=0)
    assert [curve.intercept, curve.slope] == pytest.approx(theirs.params, rel=1e-3)  # the penalty falls with 1/n
    assert curve.covariance == pytest.approx(theirs.cov_params(), rel=2e-3)


def test_sizes_are_those_of_the_curve():
    curve = DetectionCurve(*drawn(np.random.default_rng(3), 0.02, 3.0, 120))
    sizes = np.array([curve.size(0.5), curve.size(0.9)])
    assert curve.probability(sizes) == pytest.approx([0.5, 0.9])
    assert curve.as_dict()["a90"] == pytest.approx(curve.size(0.9))
    assert curve.size(0.9) < curve.bound(0.9, 0.8) < curve.bound(0.9)


def test_another_unit_of_size_moves_sizes_and_nothing_else():
    sizes, hits = drawn(np.random.default_rng(4), 0.02, 3.0, 120)
    curve, larger = DetectionCurve(sizes, hits), DetectionCurve(sizes * 300, hits)
    assert larger.slope == pytest.approx(curve.slope)
    assert larger.size(0.9) == pytest.approx(300 * curve.size(0.9))
    assert larger.bound(0.9) == pytest.approx(300 * curve.bound(0.9), rel=1e-4)


def test_a_size_that_parts_misses_from_hits_has_a_finite_curve():
    sizes = np.geomspace(0.01, 0.08, 60)
    curve = DetectionCurve(sizes, sizes > 0.03)
    assert sizes[sizes <= 0.03].max() < curve.size(0.5) < sizes[sizes > 0.03].min()
    assert curve.size(0.9) < curve.bound(0.9) < 0.04


def test_hits_that_hardly_rise_have_no_bound():
    rng = np.random.default_rng(5)
    sizes = np.geomspace(0.01, 0.08, 60)
    while True:
        try:
            curve = DetectionCurve(sizes, rng.random(60) < 0.5)
            break
        except Undetermined:
            continue
    assert curve.bound(0.9) == math.inf


@pytest.mark.parametrize(
    ("hits", "sizes", "told"),
    [
        ([1, 1, 1, 1], [1, 2, 3, 4], "all 4 defects were found, the smallest of size 1"),
        ([0, 0, 0, 0], [1, 2, 3, 4], "none of 4 defects was found, the largest of size 4"),
        ([0, 1, 0, 1], [2, 2, 2, 2], "all 4 defects have the size 2"),
        ([1, 1, 0, 0], [1, 2, 3, 4], "found no more often than small ones"),
    ],
)
def test_what_no_curve_can_be_fitted_to_says_what_it_says(hits, sizes, told):
    with pytest.raises(Undetermined, match=told):
        DetectionCurve(np.array(sizes, float), np.array(hits, bool))


def test_a_size_must_be_positive():
    with pytest.raises(ValueError, match="needs a size > 0"):
        DetectionCurve(np.array([0.0, 1.0]), np.array([False, True]))
