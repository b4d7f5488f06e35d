"""The beta distribution, and Student's by it, without scipy: its import takes longer than judging a photograph."""

import math

__all__ = ["beta_quantile", "student_tail"]

_TERMS, _HALVINGS = 10_000, 200
_TINY = 1e-300


def beta_cdf(a: float, b: float, x: float) -> float:
    """P(X <= x) of X ~ Beta(a, b), the regularised incomplete beta function I_x(a, b).

    Its continued fraction, by Lentz's method (Press et al., "Numerical Recipes", 2007, section 6.4).
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) / (a * _fraction(a, b, x))


def _fraction(a: float, b: float, x: float) -> float:
    above, below, value = 1.0, 0.0, 1.0
    for term in range(1, _TERMS):
        m, odd = divmod(term, 2)
        if odd:
            share = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            share = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        below = 1 / (1 + share * below or _TINY)
        above = 1 + share / above or _TINY
        value *= above * below
        if abs(above * below - 1) < 1e-16:
            break
    return value


def beta_quantile(a: float, b: float, share: float) -> float:
    """What X ~ Beta(a, b) stays below with a probability of `share`, in (0, 1)."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if beta_cdf(a, b, middle) < share else (low, middle)
    return high


def student_tail(value: float, freedom: float) -> float:
    """P(T > value) of Student's t with so many degrees of freedom, for value >= 0."""
    return beta_cdf(freedom / 2, 0.5, freedom / (freedom + value**2)) / 2
