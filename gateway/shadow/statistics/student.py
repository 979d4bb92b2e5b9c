"""Quantiles of Student's t. SciPy has them too, in 100 MB that nothing else here needs."""

from __future__ import annotations

from functools import lru_cache
from math import exp, lgamma, log, log1p, sqrt

_TINY = 1e-300


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, its mirror image doesn't
        return 1 - incomplete_beta(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    return front / _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """1 + d1/(1 + d2/(1 + ...)), by Lentz's method."""
    value = above = 1.0
    below = 0.0
    for step in range(1, 10_000):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        below = 1 / ((1 + term * below) or _TINY)
        above = (1 + term / above) or _TINY
        change = above * below
        value *= change
        if abs(change - 1) < 1e-15:
            return value
    raise ArithmeticError(f"the incomplete beta function of {a}, {b} at {x} did not converge")


@lru_cache(maxsize=4096)
def two_sided_t(confidence: float, degrees: int) -> float:
    """The t that |T| stays below with probability `confidence`, at `degrees` of freedom; to 8 digits."""
    if degrees < 1 or not 0 < confidence < 1:
        raise ValueError(f"no t quantile for confidence {confidence} at {degrees} degrees of freedom")
    low, high = 0.0, 1.0  # P(|T| > t) = I_x(degrees / 2, 1 / 2) with x = degrees / (degrees + t²): bisect x
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if incomplete_beta(degrees / 2, 0.5, middle) < 1 - confidence:
            low = middle
        else:
            high = middle
    return sqrt(degrees * (1 - high) / high)
