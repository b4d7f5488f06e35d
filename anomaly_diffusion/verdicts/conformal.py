"""Conformal p-values, and limits that promise a rate of false alarms, from scores of held-out normal photographs."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from anomaly_diffusion.verdicts.beta import beta_quantile

__all__ = ["Limit", "default_rate", "p_values", "upper_quantile"]

_ENOUGH_FOR_PARETO = 200
_TAIL = 0.1  # share of scores that the generalised Pareto distribution is fitted to


def p_values(scores: Float[np.ndarray, " m"], normals: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """Conformal p-values: p = (1 + #{s_i >= s}) / (n + 1).

    Of a photograph that is exchangeable with the normal ones, P(p <= a) <= a for every a, whatever the distribution
    (Vovk et al. 2005; Bates et al. 2023, "Testing for outliers with conformal p-values", eq. 3).

    Args:
        scores: of the photographs to be judged; NaN gives NaN.
        normals: of normal photographs that nothing else was learnt from.
    """
    ranked = np.sort(normals)
    as_large = len(ranked) - np.searchsorted(ranked, scores, side="left")
    return np.where(np.isnan(scores), np.nan, (1 + as_large) / (len(ranked) + 1))


def default_rate(count: int) -> float:
    """The rate of false alarms that `count` normal photographs can promise by themselves: .01 from 99 on, else .05."""
    return 0.01 if count >= 99 else 0.05


@dataclass(frozen=True)
class Limit:
    """A photograph is called defective if its score lies above `value`.

    With k = ceil((n + 1) (1 - a)), `value` is the k-th smallest normal score: new normal photographs lie above it at a
    rate of (n + 1 - k) / (n + 1) <= a on average, and at one drawn from Beta(n + 1 - k, k) given these very n scores
    (Vovk 2012, "Conditional validity of inductive conformal predictors", prop. 2a). Below a = 1 / (n + 1) no score
    says anything: the tail is extrapolated.

    Attributes:
        normals: scores of n >= 1 normal photographs.
        rate: the rate of false alarms that is asked for, a in (0, 1).

    Raises:
        ValueError: there is no score, one is not finite, or the rate does not lie in (0, 1).
    """

    normals: Float[np.ndarray, " n"]
    rate: float

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ValueError(f"`false_alarms` must lie in (0, 1), got {self.rate}.")
        if not len(self.normals) or not np.isfinite(self.normals).all():
            raise ValueError("A limit needs finite scores of normal photographs. Validate the run again.")

    @property
    def count(self) -> int:
        """N."""
        return len(self.normals)

    @property
    def _rank(self) -> int:
        """k; n + 1 where it would have to be a score beyond the largest."""
        return math.ceil((self.count + 1) * (1 - self.rate) - 1e-9)

    @property
    def extrapolated(self) -> bool:
        """Whether the limit lies where there is no score."""
        return self._rank > self.count

    @cached_property
    def value(self) -> float:
        """The limit itself."""
        if self.extrapolated:
            return upper_quantile(self.normals, self.rate)
        return float(np.sort(self.normals)[self._rank - 1])

    @property
    def promised(self) -> float:
        """Rate of false alarms on average; the one asked for where the limit is extrapolated."""
        return self.rate if self.extrapolated else (self.count + 1 - self._rank) / (self.count + 1)

    @property
    def at_most(self) -> float:
        """What the rate stays below in 95 of 100 draws of n normal photographs; of the largest one if extrapolated."""
        rank = min(self._rank, self.count)
        return beta_quantile(self.count + 1 - rank, rank, 0.95)

    def expected(self, count: int) -> tuple[int, int]:
        """Between how many of `count` new normal photographs are called defective, in 95 of 100 cases.

        The number has a beta-binomial distribution; that of the largest score where the limit is extrapolated.
        """
        from scipy import stats  # slow to import, and no verdict needs it

        rank = min(self._rank, self.count)
        drawn = stats.betabinom(count, self.count + 1 - rank, rank)
        low = 0 if self.extrapolated else int(drawn.ppf(0.025))
        return low, int(drawn.ppf(0.975))


def upper_quantile(normals: Float[np.ndarray, " n"], rate: float) -> float:
    """The (1 - rate)-quantile of the tail beyond the normal scores, never less than the largest of them.

    A generalised Pareto distribution over the 90th percentile from 200 scores on (peaks over threshold: Pickands 1975),
    else a Gumbel distribution of all scores, each of which is a largest value of a map; both fitted by L-moments
    (Hosking & Wallis 1997, appendix), which few scores suffice for.
    """
    largest = float(normals.max())
    if len(normals) < 2:
        return largest
    fitted = _pareto_quantile if len(normals) >= _ENOUGH_FOR_PARETO else _gumbel_quantile
    return max(largest, fitted(np.sort(normals).astype(np.float64), rate))


def _gumbel_quantile(ranked: Float[np.ndarray, " n"], rate: float) -> float:
    first, second = _l_moments(ranked)
    scale = second / math.log(2)
    return float(first - np.euler_gamma * scale - scale * math.log(-math.log1p(-rate)))


def _pareto_quantile(ranked: Float[np.ndarray, " n"], rate: float) -> float:
    start = np.quantile(ranked, 1 - _TAIL)
    beyond = ranked[ranked > start] - start
    if len(beyond) < 2 or beyond[-1] == beyond[0]:
        return float(ranked[-1])
    first, second = _l_moments(beyond)
    shape = 2 - first / second  # xi; Hosking & Wallis' k is -xi
    scale = (1 - shape) * first
    share = len(beyond) / (rate * len(ranked))
    grown = math.log(share) if abs(shape) < 1e-9 else (share**shape - 1) / shape
    return float(start + scale * grown)


def _l_moments(ranked: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The first two sample L-moments of ascending values."""
    count = len(ranked)
    weighted = float((np.arange(count) / (count - 1) * ranked).mean())
    mean = float(ranked.mean())
    return mean, 2 * weighted - mean
