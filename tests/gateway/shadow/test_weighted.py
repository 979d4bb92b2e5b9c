"""Weighted means: what they estimate, and how often their intervals hold it."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.statistics.weighted import TaskSum, kish, weighted_difference, weighted_rate
from tests.gateway.shadow.coverage import chances

TASKS = st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=60)


def sums(draws: list[tuple[float, int, int]]) -> list[TaskSum]:
    """Of tasks with (weight of each draw, passes, draws)."""
    return [TaskSum(weight * count, weight * min(passed, count), weight**2 * count) for weight, passed, count in draws]


@given(TASKS)
def test_a_rate_is_a_rate_and_its_interval_holds_it(draws: list[tuple[float, int, int]]) -> None:
    found = weighted_rate(sums(draws))
    assert found
    assert 0 <= found.value <= 1
    assert found.effective_tasks <= len(draws) * (1 + 1e-9)
    assert (found.interval is None) is bool(found.missing)
    assert found.interval is None or 0 <= found.interval.low <= found.value + 1e-9 <= found.interval.high + 2e-9 <= 1.1


@given(TASKS, st.floats(0.01, 100))
def test_only_ratios_of_weights_matter(draws: list[tuple[float, int, int]], factor: float) -> None:
    found = weighted_rate(sums(draws))
    scaled = weighted_rate(sums([(weight * factor, passed, count) for weight, passed, count in draws]))
    assert found
    assert scaled
    assert scaled.value == pytest.approx(found.value)
    assert scaled.effective == pytest.approx(found.effective)


def test_kish_counts_equal_weights_as_they_are() -> None:
    assert kish(10.0, 10.0) == 10
    assert kish(0.0, 0.0) == 0
    assert weighted_rate([TaskSum(0.0, 0.0, 0.0)]) is None


def test_two_that_always_agree_have_a_difference_with_a_width() -> None:
    found = weighted_difference([TaskSum(1.0, 0.0, 1.0)] * 40)
    assert found
    assert found.interval
    assert found.value == 0
    assert found.interval.low < 0 < found.interval.high


@pytest.mark.parametrize("icc", [0.0, 0.4])
def test_the_rate_of_a_population_that_was_not_drawn_evenly_is_covered(icc: float) -> None:
    """Easy tasks are drawn five times as often; unweighted means would be far off."""
    random, held, runs = Random(3), 0, 400
    for _ in range(runs):
        rates = sorted(chances(random, 120, 0.6, icc))
        taken = [(rate, p) for rate, p in zip(rates, [0.3] * 60 + [0.9] * 60, strict=True) if random.random() < p]
        drawn = [(1 / p, sum(random.random() < rate for _ in range(2)), 2) for rate, p in taken]
        found = weighted_rate(sums(drawn))
        assert found
        assert found.interval
        held += found.interval.low <= 0.6 <= found.interval.high
    assert 0.92 <= held / runs <= 0.99
