"""Rates against scipy's intervals, and counts of a small test set by hand."""

import pytest
from scipy import stats

from anomaly_diffusion.types import ImageResult, Verdict
from anomaly_diffusion.verdicts.rates import Rate, rates


@pytest.mark.parametrize(("hits", "total"), [(0, 7), (7, 7), (163, 196), (1, 3)])
def test_intervals_are_those_of_clopper_and_pearson(hits, total):
    low, high = stats.binomtest(hits, total).proportion_ci(0.95, "exact")
    assert Rate(hits, total).interval == pytest.approx((low, high))


def test_nothing_of_nothing_is_no_share():
    assert Rate.of([]).as_dict() == {"hits": 0, "total": 0, "share": None, "low": 0.0, "high": 1.0}


def _result(label, kind, defective, in_place=None, drift=""):
    return ImageResult("a", label, kind, 0.0, 1.0, verdict=Verdict(0.5, 2.0, defective, drift, in_place=in_place))


def test_a_test_set_is_summed_up():
    results = [
        *[_result(0, "good", False)] * 6,
        _result(0, "good", True, drift="darker"),
        *[_result(1, "crack", True, in_place=True)] * 3,
        _result(1, "crack", True, in_place=False, drift="darker"),
        _result(1, "dent", True),
        _result(1, "dent", False, in_place=True),
        ImageResult("b", 1, "dent", 0.0, 1.0),  # nobody judged it
    ]
    told = rates(results)
    counts = {
        name: (one["hits"], one["total"]) for name, one in told.items() if isinstance(one, dict) and "hits" in one
    }
    assert counts == {
        "found": (5, 6),
        "false_alarms": (1, 7),
        "in_place": (3, 4),
        "drift_normal": (1, 7),
        "drift_defective": (1, 6),
    }
    assert {kind: one["hits"] for kind, one in told["found_by_kind"].items()} == {"crack": 4, "dent": 1}
    assert told["all_called_defective_f1"] == pytest.approx(2 * 6 / (6 + 13))


@pytest.mark.parametrize(
    ("label", "defective", "in_place", "outcome"),
    [
        (1, True, True, "found"),
        (1, True, None, "found"),
        (1, True, False, "found elsewhere"),
        (1, False, True, "missed"),
        (0, True, None, "false alarm"),
        (0, False, None, "passed"),
        (None, True, None, ""),
    ],
)
def test_an_outcome_is_verdict_and_truth(label, defective, in_place, outcome):
    assert _result(label, "", defective, in_place).outcome == outcome
    assert ImageResult("a", 1, "", 0.0, 1.0).outcome == ""
