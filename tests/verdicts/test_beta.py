"""Our beta and Student distributions are scipy's."""

import pytest
from scipy import stats

from anomaly_diffusion.verdicts.beta import beta_quantile, student_tail


@pytest.mark.parametrize("a", [1, 2, 5, 40, 300])
@pytest.mark.parametrize("b", [1, 3, 99, 900])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.95])
def test_a_quantile_is_that_of_scipy(a, b, share):
    assert beta_quantile(a, b, share) == pytest.approx(stats.beta.ppf(share, a, b), rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 3.0, 50.0])
@pytest.mark.parametrize("freedom", [1, 2, 31, 400])
def test_a_tail_is_that_of_scipy(value, freedom):
    assert student_tail(value, freedom) == pytest.approx(stats.t.sf(value, freedom), rel=1e-9)
