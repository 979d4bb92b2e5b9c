"""The gate's confidence sequence: a fair game, bounds that only close in, and the allowed deficit one of them."""

from __future__ import annotations

from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.shadow.gate.sequence import Counts, MeanSequence, log_capital

draws = st.lists(st.sampled_from([-1, 0, 0, 1]), max_size=300)


def counted(drawn: list[int]) -> Counts:
    return Counts(drawn.count(1), drawn.count(0), drawn.count(-1))


@given(draws, st.floats(-0.9, 0.9), st.floats(0, 1))
def test_the_capital_is_a_fair_game(drawn: list[int], mean: float, spread: float) -> None:
    """At the true mean a further draw changes it by nothing on average, however the draws are spread."""
    even = spread * (1 - abs(mean))
    up, down = (1 - even + mean) / 2, (1 - even - mean) / 2
    seen = counted(drawn)
    following = [seen.plus(one, 1) for one in (Counts(up=1), Counts(even=1), Counts(down=1))]
    ratios = [exp(log_capital(counts, mean) - log_capital(seen, mean)) for counts in following]
    assert up * ratios[0] + even * ratios[1] + down * ratios[2] == pytest.approx(1)


@given(draws, st.floats(-0.9, 0.9), st.floats(0, 0.09))
def test_the_capital_falls_as_the_mean_rises(drawn: list[int], mean: float, more: float) -> None:
    assert log_capital(counted(drawn), mean + more) <= log_capital(counted(drawn), mean) + 1e-9


@given(draws)
@settings(max_examples=40, deadline=None)
def test_bounds_close_in_and_refute_what_the_capital_refutes(drawn: list[int]) -> None:
    sequence = MeanSequence(0.05, around=-0.05)
    before = sequence.bounds
    lowest, highest = before.lower, before.upper
    for place, difference in enumerate(drawn, 1):
        sequence.add(difference)
        now, at_once = sequence.bounds, sequence.at_once(counted(drawn[:place]))
        lowest, highest = max(lowest, at_once.lower), min(highest, at_once.upper)
        assert (now.lower, now.upper) == pytest.approx((lowest, highest))
        assert before.lower <= now.lower
        assert now.upper <= before.upper
        before = now
    seen = counted(drawn)
    assert sequence.excludes(-0.05) >= (log_capital(seen, -0.05) >= log(40))
    assert sequence.excludes(-0.05) >= (log_capital(seen.mirrored, 0.05) >= log(40))


@pytest.mark.parametrize("delta", [0.0003, 0.01, 0.05, 0.0333, 0.3])
def test_the_allowed_deficit_is_a_bound_itself(delta: float) -> None:
    sequence = MeanSequence(0.05, around=-delta)
    while sequence.bounds.lower < -delta:
        sequence.add(1)
    assert sequence.draws < 100
    reached = log_capital(Counts(up=sequence.draws), -delta)
    assert reached >= log(40) > log_capital(Counts(up=sequence.draws - 1), -delta)


def test_all_means_may_be_refuted() -> None:
    sequence = MeanSequence(0.05, around=-0.05)
    for _ in range(20_000):
        sequence.add(1)
    assert 0.99 < sequence.bounds.lower < sequence.bounds.upper == 1
