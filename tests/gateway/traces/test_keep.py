"""Which requests are traced: by trace id as OpenTelemetry does it, as the client says, and never more than allowed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import sqrt
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from gateway.config_traces import TraceSettings
from gateway.telemetry.traces.keep import Ended, Trace, Traces

HEADER = b"traceparent"
ENDED = Ended(b"id", "/v1/completions", 200, "ok", "", None, None, 0.0, 0.0)


class Noted:
    """Takes up to ``room`` traces."""

    counted: Mapping[str, int] = {"sent": 0, "lost": 0}

    def __init__(self, room: int = 10**6) -> None:
        self.room = room
        self.why: list[str] = []

    def put(self, trace: Trace, why: str, ended: Ended) -> bool:
        self.why.append(why)
        return len(self.why) <= self.room

    def close(self) -> None: ...


def traces(random: Random | None = None, room: int = 10**6, **settings: float) -> Traces:
    made = TraceSettings.model_validate({"by_clients": 3, "per_second": 10**6, **settings})
    return Traces(made, Noted(room), random=random or Random(7))


def begun(kept: Traces, *, now: float = 1.0, trace_id: int = 1 << 127, flags: int | None = None) -> Trace | None:
    """``flags``: of a client's traceparent, None without one."""
    if flags is None and kept.until_next:
        kept.until_next -= 1
        return None
    headers = [] if flags is None else [(HEADER, b"00-%032x-%016x-%02x" % (trace_id, 5, flags))]
    return kept.begin(headers, dict(headers), now)


def reason(trace: Trace | None) -> str:
    """It is traced from the start; empty if it is not."""
    return "" if trace is None else trace.why


def is_theirs(trace_id: int, share: float) -> bool:
    """Whether OpenTelemetry would trace it."""
    return TraceIdRatioBased(share).should_sample(None, trace_id, "").decision is Decision.RECORD_AND_SAMPLE


@given(st.integers(1, (1 << 128) - 1), st.floats(0, 1))
def test_a_client_s_id_is_chosen_as_opentelemetry_does_it(trace_id: int, share: float) -> None:
    trace = begun(traces(sample=share, by_clients=0), trace_id=trace_id, flags=1)
    assert (reason(trace) == "sampled") == is_theirs(trace_id, share)


@given(st.integers(0), st.one_of(st.floats(0, 1), st.floats(0, 1e-15), st.floats(1 - 1e-15, 1)))
def test_drawn_ids_are_those_that_opentelemetry_would_choose(seed: int, share: float) -> None:
    kept = traces(Random(seed), sample=share)
    assume(kept.until_next < 1 << 62)
    kept.until_next = 0
    trace = begun(kept)
    assert trace is not None
    assert is_theirs(trace.trace_id, share)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.9, 1.0])
def test_about_the_share_is_traced_and_not_in_turn(share: float) -> None:
    kept = traces(sample=share)
    found = [bool(reason(begun(kept))) for _ in range(10_000)]
    assert abs(sum(found) - share * 10_000) <= 600 * sqrt(share * (1 - share))  # six standard deviations
    behind = sum(one and other for one, other in pairwise(found))  # each says nothing of the next one
    assert abs(behind - share**2 * 10_000) <= 1 + 800 * share * sqrt(1 - share**2)


def test_clients_are_believed_up_to_a_limit_and_then_sampled_as_all_others() -> None:
    kept = traces(sample=0.5)
    low, high = 1, (1 << 64) - 1
    assert [reason(begun(kept, trace_id=high, flags=1)) for _ in range(4)] == ["client"] * 3 + [""]
    assert reason(begun(kept, trace_id=low, flags=1)) == "sampled"
    assert reason(begun(kept, trace_id=high, flags=1, now=2.0)) == "client"  # another second
    assert reason(begun(traces(sample=0.0, by_clients=0), flags=1)) == ""


def test_what_a_client_does_not_sample_is_not_sampled() -> None:
    assert reason(begun(traces(sample=1.0), trace_id=1, flags=0)) == ""


def test_more_than_allowed_in_a_second_is_dropped_and_counted() -> None:
    kept = traces(sample=1.0, per_second=5)
    assert [reason(begun(kept)) for _ in range(8)] == ["sampled"] * 5 + [""] * 3
    assert kept.outcomes["dropped"] == 3
    trace = begun(kept)
    assert kept.end(trace, "upstream_error", 1.0, 1.5) == ""
    assert kept.outcomes["dropped"] == 5
    assert kept.end(trace, "upstream_error", 1.0, 2.5) == "error"


@pytest.mark.parametrize(
    ("outcome", "seconds", "why"),
    [
        ("ok", 9.0, ""),
        ("ok", 11.0, "slow"),
        ("upstream_error", 0.1, "error"),
        ("gateway_error", 0.1, "error"),
        ("client_error", 0.1, ""),
        ("cancelled", 0.1, ""),
        ("cancelled", 11.0, "slow"),
    ],
)
def test_failed_and_slow_ones_are_kept_whatever_the_share(outcome: str, seconds: float, why: str) -> None:
    kept = traces(sample=0.0, slow=10.0)
    assert kept.end(begun(kept), outcome, 1.0, 1.0 + seconds) == why
    assert kept.end(begun(kept, flags=0), outcome, 1.0, 1.0 + seconds) == why


def test_without_room_a_trace_is_dropped() -> None:
    kept = traces(sample=1.0, room=1)
    for _ in range(3):
        trace = begun(kept)
        kept.keep(trace, reason(trace), ENDED)
    assert {name: count for name, count in kept.outcomes.items() if count} == {"sampled": 1, "dropped": 2}


def test_a_reload_changes_what_is_kept() -> None:
    kept = traces(sample=0.0)
    assert reason(begun(kept)) == ""
    kept.follow(TraceSettings(sample=1.0))
    assert reason(begun(kept)) == "sampled"
