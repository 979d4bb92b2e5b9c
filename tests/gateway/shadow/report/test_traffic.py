"""Traffic-weighted pass@1: of planted rates at each length, weighted as live prompts are."""

from __future__ import annotations

import pytest

from gateway.shadow.canary.mix import LiveMix
from gateway.shadow.match.matcher import Form
from gateway.shadow.report.traffic import TrafficTotals


def mix(*counts: tuple[int, Form, int]) -> LiveMix:
    """Of (tokens, form, how many)."""
    found = LiveMix()
    for tokens, form, many in counts:
        found.observe(tokens, (), form, stands_for=many)
    return found


def totals(tasks: int = 60, forms: tuple[Form, ...] = (Form.COMPLETE,)) -> TrafficTotals:
    """Short prompts always pass and long ones never; twice as many short ones were drawn."""
    found = TrafficTotals()
    for task in range(tasks):
        for form in forms:
            for _ in range(2):
                found.add(f"t/{task}", 1000, form, True)
            found.add(f"t/{task}", 5000, form, False)
    return found


@pytest.mark.parametrize(("short", "long"), [(1, 1), (9, 1), (1, 9)])
def test_it_is_the_rate_that_live_lengths_have(short: int, long: int) -> None:
    live = mix((1000, Form.COMPLETE, short), (5000, Form.COMPLETE, long))
    found = totals().weighted(live)
    assert found.refused == ""
    assert found.estimate
    assert found.estimate.value == pytest.approx(short / (short + long))
    assert found.estimate.effective_tasks == pytest.approx(60)
    assert found.estimate.interval


def test_chat_counts_as_instruct() -> None:
    live = mix((1000, Form.CHAT, 3), (1000, Form.COMPLETE, 1))
    assert totals().weighted(live).refused.startswith("75% of the live prompts have a length and form of which no")
    found = totals(forms=(Form.COMPLETE, Form.INSTRUCT)).weighted(live)
    assert found.estimate
    assert found.estimate.value == 1


def test_refused_below_thirty_equal_tasks() -> None:
    live = mix((1000, Form.COMPLETE, 1))
    found = totals(tasks=29).weighted(live)
    assert (found.estimate, found.refused.partition(":")[0]) == (None, "not enough")
    assert totals(tasks=30).weighted(live).estimate


def test_refused_where_live_prompts_are_longer_than_all_draws() -> None:
    found = totals().weighted(mix((1000, Form.COMPLETE, 94), (60_000, Form.COMPLETE, 6)))
    assert (found.estimate, found.uncovered) == (None, pytest.approx(0.06))
    found = totals().weighted(mix((1000, Form.COMPLETE, 96), (60_000, Form.COMPLETE, 4)))
    assert found.estimate
    assert found.estimate.value == 1
    assert totals().weighted(LiveMix()).refused == "the mix of live traffic is empty"
