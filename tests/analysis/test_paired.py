"""Laws of paired differences."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from anomaly_diffusion.analysis.paired import Difference, ScoredImage, difference, paired_table, surprises


def images(defective, scores):
    pairs = enumerate(zip(defective, scores, strict=True))
    return [ScoredImage(f"{number:04d}", bool(kind), float(score)) for number, (kind, score) in pairs]


def drawn(dice, gap, count=120):
    defective = np.arange(count) % 2 == 0
    return defective, dice.normal(size=count) + gap * defective


def test_equal_scores_differ_by_nothing_at_all():
    defective, scores = drawn(np.random.default_rng(0), 1.0)
    found = difference({"seed0": images(defective, scores)}, {"seed0": images(defective, 3 * scores + 1)})
    assert found == Difference(0.0, 0.0, 0.0, 1)


def test_the_difference_is_that_of_the_areas():
    dice = np.random.default_rng(1)
    ours, theirs = {}, {}
    areas = []
    for seed in range(3):
        defective, good = drawn(dice, 1.5)
        _, poor = drawn(dice, 0.5)
        ours[f"seed{seed}"], theirs[f"seed{seed}"] = images(defective, good), images(defective, poor)
        areas.append(roc_auc_score(defective, good) - roc_auc_score(defective, poor))
    found = difference(ours, theirs)
    assert found.mean == pytest.approx(np.mean(areas), abs=1e-12)
    assert 0 < found.low < found.mean < found.high
    swapped = difference(theirs, ours)
    assert (swapped.mean, swapped.low, swapped.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    dice = np.random.default_rng(2)
    hits = 0
    for _ in range(100):  # equally good, so that the truth is 0
        defective, scores = drawn(dice, 1.0, 80)
        noisy = [scores + dice.normal(size=80) for _ in range(2)]
        found = difference({"a": images(defective, noisy[0])}, {"a": images(defective, noisy[1])})
        hits += found.low <= 0 <= found.high
    assert 88 <= hits <= 100


def test_the_order_of_rows_does_not_matter():
    dice = np.random.default_rng(3)
    defective, ours = drawn(dice, 1.0)
    _, theirs = drawn(dice, 1.0)
    mine, other = images(defective, ours), images(defective, theirs)
    assert difference({"a": mine}, {"a": other}) == difference({"a": mine[::-1]}, {"a": other})


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ({"seed0": images([0, 1], [0, 1])}, {"seed1": images([0, 1], [0, 1])}, "No run has a partner"),
        ({"a": images([0, 1, 1], [0, 1, 2])}, {"a": images([0, 1], [0, 1])}, "different test images, 0002"),
        ({"a": images([1, 1], [0, 1])}, {"a": images([1, 1], [0, 1])}, "one kind only"),
    ],
)
def test_what_cannot_be_paired_is_told(ours, theirs, told):
    with pytest.raises(ValueError, match=told):
        difference(ours, theirs)


def test_surprises_are_images_that_changed_sides():
    defective = [0, 0, 0, 1, 1, 1]
    ours, theirs = [0, 1, 9, 5, 6, 7], [0, 1, 2, 5, 6, -1]
    better, worse = surprises({"a": images(defective, ours)}, {"a": images(defective, theirs)}, count=1)
    assert better == [("0005", pytest.approx(2 / 3))]
    assert worse == [("0002", pytest.approx(-2 / 3))]


def test_the_table_names_both_groups():
    table = paired_table({"simplex": Difference(0.0123, -0.01, 0.03, 3)}, "white")
    assert "less that of white" in table
    assert "| **simplex** | 3 | +0.012 | -0.010 to +0.030 |" in table
