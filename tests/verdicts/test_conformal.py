"""Laws of p-values and limits: what they promise holds in simulation, for any distribution and any number of images."""

import numpy as np
import pytest

from anomaly_diffusion.verdicts.conformal import Limit, default_rate, p_values, upper_quantile

DISTRIBUTIONS = {
    "normal": lambda rng, size: rng.normal(size=size),
    "heavy": lambda rng, size: rng.standard_cauchy(size=size),
    "ties": lambda rng, size: rng.integers(0, 4, size=size).astype(float),
}
COUNTS = (8, 19, 64, 200)
RATES = (0.02, 0.05, 0.1, 0.2, 0.5)
TURNS = 4000


@pytest.mark.parametrize("draw", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize("count", COUNTS)
def test_a_p_value_is_small_no_more_often_than_it_says(draw, count):
    rng = np.random.default_rng(count)
    scores = draw(rng, (TURNS, count + 1))
    p = np.array([p_values(row[-1:], row[:-1])[0] for row in scores])
    for rate in RATES:
        assert (p <= rate).mean() <= rate + 4 * np.sqrt(rate * (1 - rate) / TURNS)


def test_a_p_value_counts_the_normals_that_score_as_high():
    assert p_values(np.array([0.0, 2.0, 2.5, 9.0, np.nan]), np.array([3.0, 1.0, 2.0])).tolist()[:4] == [
        1,
        0.75,
        0.5,
        0.25,
    ]
    assert np.isnan(p_values(np.array([np.nan]), np.array([1.0])))[0]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("rate", RATES)
def test_lying_above_the_limit_and_having_a_small_p_value_are_one(count, rate):
    rng = np.random.default_rng(0)
    normals = rng.integers(0, 50, count) / 7
    limit = Limit(normals, rate)
    scores = rng.integers(0, 60, 500) / 7
    if limit.extrapolated:
        assert limit.value >= normals.max()
        assert count < 1 / rate - 1
    else:
        assert ((scores > limit.value) == (p_values(scores, normals) <= rate)).all()


@pytest.mark.parametrize("count", [19, 64, 200])
def test_the_rate_promised_and_its_bound_hold(count):
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(2000):
        limit = Limit(rng.exponential(size=count), 0.05)
        rates.append(np.exp(-limit.value))  # the true rate beyond the limit
    assert np.mean(rates) == pytest.approx(limit.promised, rel=0.05)
    assert np.mean(np.array(rates) <= limit.at_most) == pytest.approx(0.95, abs=0.02)


def test_the_number_expected_of_new_images_covers_them():
    rng = np.random.default_rng(2)
    low, high = Limit(rng.normal(size=64), 0.05).expected(76)  # whatever the scores
    limits = np.array([Limit(rng.normal(size=64), 0.05).value for _ in range(4000)])
    alarms = (rng.normal(size=(4000, 76)) > limits[:, None]).sum(1)
    assert 0.94 <= ((low <= alarms) & (alarms <= high)).mean() <= 0.99


@pytest.mark.parametrize(("count", "rate", "room"), [(8, 0.05, 0.05), (15, 0.01, 0.03), (400, 0.002, 0.003)])
def test_an_extrapolated_limit_is_near_what_is_asked_for(count, rate, room):
    rng = np.random.default_rng(3)
    beyond = []
    for _ in range(2000):
        normals = rng.gumbel(size=count)
        limit = Limit(normals, rate)
        assert limit.extrapolated
        beyond.append(-np.expm1(-np.exp(-limit.value)))
    assert np.mean(beyond) <= rate + room


@pytest.mark.parametrize("normals", [[1.0], [1.0, 1.0], [2.0] * 300, [0.0] * 299 + [1.0]])
def test_few_or_equal_scores_have_a_limit_too(normals):
    value = upper_quantile(np.array(normals), 0.001)
    assert np.isfinite(value)
    assert value >= max(normals)


@pytest.mark.parametrize(
    ("normals", "rate"), [([], 0.05), ([1.0, np.inf], 0.05), ([np.nan], 0.05), ([1.0], 0.0), ([1.0], 1.0)]
)
def test_a_limit_that_cannot_be_is_refused(normals, rate):
    with pytest.raises(ValueError, match=r"false_alarms|finite"):
        Limit(np.array(normals), rate)


def test_one_in_a_hundred_is_promised_where_there_are_99():
    assert [default_rate(count) for count in (8, 98, 99, 128)] == [0.05, 0.05, 0.01, 0.01]
    assert Limit(np.arange(8.0), 0.05).extrapolated
    assert not Limit(np.arange(19.0), 0.05).extrapolated
