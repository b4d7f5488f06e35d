"""Laws of a choice: settings that are alike are not told apart, a clear difference is found, and order is counted."""

import math

import numpy as np
import pytest
from scipy import stats

from anomaly_diffusion.verdicts.choice import LEAST, chosen, order_agreement

FAMILIES = ("crack", "pit", "scratch", "stain")


def world(rng, gains, photographs=16, each=LEAST):
    """Figures of settings on the same defects; photographs and defects differ more than settings do."""
    families = np.repeat(FAMILIES, each)
    place = np.concatenate([np.arange(each) % photographs for _ in FAMILIES])
    shared = rng.normal(size=photographs)[place] * 0.1 + rng.normal(size=len(place)) * 0.15
    figures = {}
    for name, gain in gains.items():
        own = rng.normal(size=photographs)[place] * 0.03 + rng.normal(size=len(place)) * 0.1
        added = np.array([gain.get(family, 0.0) if isinstance(gain, dict) else gain for family in families])
        figures[name] = 0.5 + shared + own + added
    return figures, [f"{number:03}.png" for number in place], list(families)


@pytest.mark.parametrize("others", [1, 5])
def test_settings_that_are_alike_are_not_told_apart(others):
    rng = np.random.default_rng(others)
    names = ["default", *(f"other{number}" for number in range(others))]
    alike = dict.fromkeys(names, 0.0)
    kept = sum(chosen(*world(rng, alike), "default", seed=n).setting == "default" for n in range(300))
    assert stats.binom.ppf(0.05, 300, 0.9) <= kept < 300  # .9, as far as so many worlds can tell


@pytest.mark.parametrize("others", [1, 5])
def test_a_clear_difference_is_found(others):
    rng = np.random.default_rng(0)
    names = {"default": 0.0, **{f"other{number}": 0.0 for number in range(others)}, "other0": 0.08}
    assert np.mean([chosen(*world(rng, names), "default", seed=n).setting == "other0" for n in range(60)]) >= 0.95


def test_a_gain_in_one_family_is_not_enough():
    choice = chosen(*world(np.random.default_rng(1), {"default": 0.02, "other": {"crack": 0.9}}), "default")
    assert choice.setting == "default"
    assert choice.means["other"]["crack"] > choice.means["default"]["crack"] + 0.8


def test_the_order_is_by_mean_rank_over_families():
    gains = {"default": 0.0, "loud": {"crack": 5.0}, "steady": dict.fromkeys(FAMILIES, 0.3)}
    choice = chosen(*world(np.random.default_rng(2), gains), "default")
    assert choice.best == "steady"
    assert choice.mean_ranks["steady"] == pytest.approx((2 + 1 + 1 + 1) / 4)
    assert str(choice).startswith("steady: steady is favoured over default in 100%")


def test_photographs_count_alike_however_many_defects_they_have():
    photographs = ["a"] * 63 + ["b"] * 65
    values = np.array([1.0] * 63 + [0.0] * 65)
    choice = chosen({"default": values, "other": values}, photographs, ["pit"] * 128, "default")
    assert choice.means["other"] == {"pit": 0.5}
    assert choice.setting == "default"


def test_families_with_few_defects_have_no_vote():
    figures, photographs, families = world(np.random.default_rng(3), {"default": 0.0, "other": 0.3}, each=LEAST - 1)
    choice = chosen(figures, photographs, families, "default")
    assert choice.setting == "default"
    assert choice.too_few == dict.fromkeys(FAMILIES, LEAST - 1)
    assert "no family has 64 painted defects (63 crack" in str(choice)


def test_a_defect_that_no_frame_shows_counts_for_no_setting():
    figures, photographs, families = world(np.random.default_rng(4), {"default": 0.0, "other": 0.3}, each=LEAST + 1)
    figures["other"][0] = math.nan
    assert chosen(figures, photographs, families, "default").setting == "other"


def test_the_same_seed_gives_the_same_choice():
    known = world(np.random.default_rng(5), {"default": 0.0, "other": 0.01})
    assert chosen(*known, "default", seed=3) == chosen(*known, "default", seed=3)


def test_a_default_must_be_among_the_settings():
    figures, photographs, families = world(np.random.default_rng(6), {"default": 0.0, "other": 0.0})
    with pytest.raises(ValueError, match="needs a default and another setting, got base among default, other"):
        chosen(figures, photographs, families, "base")
    with pytest.raises(ValueError, match="the same painted defects"):
        chosen(figures, photographs[1:], families[1:], "default")


def test_orders_agree_by_kendalls_tau():
    order = {"a": 0.1, "b": 0.2, "c": 0.3}
    assert order_agreement(order, {"a": 1, "b": 5, "c": 9}) == pytest.approx(1)
    assert order_agreement(order, {"c": 1, "b": 5, "a": 9}) == pytest.approx(-1)
    assert order_agreement(order, {"b": 1, "a": 5, "c": 9}) == pytest.approx(1 / 3)
