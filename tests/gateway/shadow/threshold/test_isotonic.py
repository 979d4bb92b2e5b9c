"""The monotone fit, against its definition."""

from __future__ import annotations

from itertools import pairwise
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.threshold.isotonic import antitone

rows = st.lists(st.tuples(st.floats(-1, 1), st.floats(0.1, 10)), min_size=1, max_size=20)


def mean(values: list[float], weights: list[float]) -> float:
    return fsum(value * weight for value, weight in zip(values, weights, strict=True)) / fsum(weights)


@given(rows)
def test_the_fit_never_rises_and_keeps_the_mean(given_rows: list[tuple[float, float]]) -> None:
    values, weights = [list(column) for column in zip(*given_rows, strict=True)]
    fit = antitone(values, weights)
    assert len(fit) == len(values)
    assert all(later <= earlier for earlier, later in pairwise(fit))
    assert mean(fit, weights) == pytest.approx(mean(values, weights), abs=1e-9)
    assert antitone(fit, weights) == pytest.approx(fit)
    assert min(values) - 1e-12 <= min(fit)
    assert max(fit) <= max(values) + 1e-12


@given(rows, st.randoms(use_true_random=False))
def test_no_other_falling_sequence_is_closer(given_rows: list[tuple[float, float]], random: object) -> None:
    """The fit is a projection on a cone: (values - fit) is at an angle of 90 degrees or more to every other member."""
    values, weights = [list(column) for column in zip(*given_rows, strict=True)]
    fit = antitone(values, weights)
    other = sorted((random.uniform(-1, 1) for _ in values), reverse=True)  # type: ignore[attr-defined]
    products = [w * (v - f) * (o - f) for v, w, f, o in zip(values, weights, fit, other, strict=True)]
    assert fsum(products) <= 1e-9


def test_a_known_fit() -> None:
    assert antitone([3, 1, 2, 0], [1, 1, 3, 1]) == [3, 1.75, 1.75, 0]
