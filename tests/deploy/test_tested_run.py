"""What a test set says at other rates: verdicts follow the limit, and two runs are held against each other."""

import numpy as np
import pytest

from anomaly_diffusion.deploy.inspecting.tested_run import EVERY, AtRate, differing, shared
from anomaly_diffusion.types import ImageResult, Verdict
from anomaly_diffusion.verdicts.conformal import Limit

NORMALS = np.arange(1.0, 20.0)  # 19 of them: a rate of .05 is the largest, .5 the tenth


def result(path, label, score, in_place=None):
    said = Verdict(0.5, 100.0, False, in_place=in_place)
    return ImageResult(path, label, "dent" if label else "good", 0.0, score, verdict=said)


TESTED = [
    result("a", 1, 25.0, True),
    result("b", 1, 15.0, False),
    result("c", 1, 5.0),
    result("d", 0, 12.0),
    result("e", 0, 2.0),
]


def at(rate, tested=TESTED):
    return AtRate(tested, Limit(NORMALS, rate))


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.05, {"found": 1, "missed": 2, "passed": 2}),
        (0.5, {"found": 1, "found elsewhere": 1, "missed": 1, "false alarm": 1, "passed": 1}),
        (0.95, {"found": 2, "found elsewhere": 1, "false alarm": 2}),
    ],
)
def test_outcomes_follow_the_rate_and_not_what_the_test_had_said(rate, expected):
    judged = at(rate)
    assert judged.counts == {EVERY: 5, **expected}
    assert [one.path for one in judged.results] == ["a", "b", "d", "c", "e"]
    assert all(one.verdict.limit == judged.limit.value for one in judged.results)
    assert [len(judged.only(outcome)) for outcome in expected] == list(expected.values())


def test_sentences_tell_limit_recall_and_false_alarms():
    told = at(0.5).sentences()
    assert told[0].startswith("Limit 10, set by 19 held-out normal photographs for 50 % false alarms")
    assert told[1].startswith("Found: 2/3 (")
    assert told[2].startswith("False alarms: 1/2 (")
    assert told[3].startswith("In the right place: 1/2 (")
    assert len(at(0.5, []).sentences()) == 1
    assert "extrapolated from 19" in at(0.01).sentences()[0]


def test_results_without_a_verdict_get_one():
    bare = ImageResult("a", 1, "dent", 0.0, 30.0)
    assert [one.outcome for one in at(0.5, [bare]).results] == ["found"]
    assert at(0.5).p_value(bare) == 1 / 20


def test_runs_are_compared_on_the_photographs_that_both_have():
    other = at(0.5, [result("a", 1, 1.0), result("b", 1, 15.0, False), result("z", 0, 1.0)])
    pairs = shared(at(0.5), other)
    assert [(one.path, two.path) for one, two in pairs] == [("a", "a"), ("b", "b")]
    assert [(one.outcome, two.outcome) for one, two in differing(pairs)] == [("found", "missed")]
