"""Statistics of draws: weighted means and differences of a suite, and how often their intervals hold the truth."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.statistics.paired import PairTally, suite_difference
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


def drawn_pairs(random: Random, rates: list[tuple[float, float]], pairs: int) -> list[PairTally]:
    found = []
    for first, second in rates:
        happened = [(random.random() < first) - (random.random() < second) for _ in range(pairs)]
        found.append(PairTally(happened.count(1), happened.count(0), happened.count(-1)))
    return found


@pytest.mark.parametrize(("tasks", "pairs"), [(8, 6), (40, 4)])
def test_the_difference_of_a_suite_is_covered(tasks: int, pairs: int) -> None:
    random, held, runs = Random(5), 0, 300
    for _ in range(runs):
        rates = list(zip(chances(random, tasks, 0.6, 0.3), chances(random, tasks, 0.8, 0.3), strict=True))
        truth = sum(first - second for first, second in rates) / tasks
        found = suite_difference(drawn_pairs(random, rates, pairs))
        assert found.interval
        held += found.interval.low <= truth <= found.interval.high
    assert 0.93 <= held / runs <= 0.995


@given(st.lists(st.tuples(*[st.integers(0, 20)] * 3).filter(any).map(lambda counts: PairTally(*counts)), min_size=1))
def test_a_suites_difference_lies_in_its_interval_and_turns_round_with_its_sides(tallies: list[PairTally]) -> None:
    found = suite_difference(tallies)
    turned = suite_difference([PairTally(tally.second_only, tally.even, tally.first_only) for tally in tallies])
    assert turned.value == pytest.approx(-found.value)
    assert (found.interval is None) is bool(found.missing)
    if found.interval and turned.interval:
        assert -1 <= found.interval.low <= found.value <= found.interval.high <= 1
        assert found.interval.low < found.interval.high
        assert turned.interval.low == pytest.approx(-found.interval.high)


def test_pairs_that_come_once_a_task_say_nothing_of_the_suite() -> None:
    assert suite_difference([PairTally(1, 0, 0)] * 50).missing.startswith("not enough: 50 of 50 tasks have one")
    assert suite_difference([PairTally(0, 5, 0)] * 7).missing.startswith("not enough: 8 tasks")
    with pytest.raises(ValueError, match="no task"):
        suite_difference([])
    with pytest.raises(ValueError, match="at least one pair"):
        PairTally(0, 0, 0)
