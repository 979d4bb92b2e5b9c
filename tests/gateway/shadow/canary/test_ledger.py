"""The day's budget: what is refused and why, and that it is never exceeded by more than one canary."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.shadow.canary.ledger import Ledger, Reason, Refusal
from tests.gateway.shadow.canary.worlds import FIRST, SECOND, plan

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
TODAY = Ledger(NOON.date())
PLAN = plan()
MODELS = FIRST["model"], SECOND["model"]


def test_reasons() -> None:
    assert TODAY.refusal(PLAN, NOON, busy=False) is None
    assert TODAY.refusal(plan(enabled=False), NOON, busy=False) == Refusal(Reason.OFF)
    assert TODAY.refusal(PLAN, NOON, busy=True) == Refusal(Reason.BUSY)
    full = TODAY.reserve("a", {MODELS[0]: 100_000}, NOON)
    assert full.refusal(PLAN, NOON, busy=False) == Refusal(Reason.BUDGET, MODELS[0])
    assert str(full.refusal(PLAN, NOON, busy=False)) == (
        "the day's tokens of codegeex4-all-9b are spent; the next day begins at 00:00 UTC"
    )
    assert full.settle("a", {MODELS[0]: 99_999}).refusal(PLAN, NOON, busy=False) is None


def test_work_handed_out_twice_is_counted_once() -> None:
    once = TODAY.reserve("a", {MODELS[0]: 10}, NOON)
    assert once.reserve("a", {MODELS[0]: 10}, NOON) == once
    settled = once.settle("a", {MODELS[0]: 7})
    assert settled.settle("a", {MODELS[0]: 7}) == settled
    assert settled.used(MODELS[0]) == 7


def test_days_are_of_utc() -> None:
    full = TODAY.reserve("a", {MODELS[0]: 100_000}, NOON)
    tokyo = timezone(timedelta(hours=9))
    assert full.refusal(PLAN, datetime(2026, 11, 30, 8, 59, tzinfo=tokyo), busy=False) is not None
    assert full.refusal(PLAN, datetime(2026, 11, 30, 9, 0, tzinfo=tokyo), busy=False) is None
    assert full.on(NOON - timedelta(days=1)) == full, "a clock that is set back gives no second budget"
    tomorrow = full.reserve("b", {MODELS[0]: 5}, NOON + timedelta(days=1))
    assert tomorrow.day == date(2026, 11, 30)
    assert tomorrow.settle("a", {MODELS[0]: 50}).used(MODELS[0]) == 5
    with pytest.raises(ValueError, match="without a zone"):
        TODAY.on(datetime(2026, 11, 29, 12))


_STEPS = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.tuples(st.integers(0, 60_000), st.integers(0, 60_000)),
        st.floats(0, 1),
        st.integers(0, 5 * 3600),
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(_STEPS)
def test_no_day_goes_over_by_more_than_one_reservation(steps: list[tuple[int, tuple[int, int], float, int]]) -> None:
    """Canaries in any order, several under way at once, each costing at most what it reserved."""
    ledger, now, held = TODAY, NOON, dict[str, dict[str, int]]()
    spent, largest = dict[tuple[date, str], int](), 0
    for number, (place, cost, used, seconds) in enumerate(steps):
        now += timedelta(seconds=seconds)
        if held and place % 2:
            id = sorted(held)[place % len(held)]
            reserved = held.pop(id)
            ledger = ledger.settle(id, {model: int(used * tokens) for model, tokens in reserved.items()})
        elif ledger.refusal(PLAN, now, busy=False) is None:
            tokens = dict(zip(MODELS, cost, strict=True))
            ledger = ledger.reserve(str(number), tokens, now)
            held[str(number)] = tokens
            largest = max(largest, *cost)
        for side in (PLAN.first, PLAN.second):
            total = ledger.used(side.model)
            spent[ledger.day, side.model] = total
            assert total <= side.daily_tokens + largest
