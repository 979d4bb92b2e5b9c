"""When endpoints are left out, and when they come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.health import Conduct, EjectionRule, Health, conduct_of

RULE = EjectionRule(failures=3, seconds=5, longest=60, share=0.5)


@pytest.mark.parametrize("status", [*range(200, 300), *range(400, 500), 501])
def test_what_a_client_causes_never_counts(status):
    assert conduct_of(status) is (Conduct.BUSY if status == 429 else Conduct.NEUTRAL)


def test_faults_and_back_pressure():
    assert [conduct_of(status) for status in (500, 502, 503, 504)] == [
        Conduct.FAILED,
        Conduct.FAILED,
        Conduct.BUSY,
        Conduct.FAILED,
    ]


def test_failures_in_a_row_eject_for_longer_each_time_until_it_answers():
    health, now, lengths = Health(), 100.0, []
    assert [health.failed(now, RULE, 0, 2) for _ in range(3)] == [False, False, True]
    lengths.append(health.ejected_until - now)
    for _ in range(5):
        now = health.ejected_until
        assert health.failed(now, RULE, 0, 2)
        lengths.append(health.ejected_until - now)
    assert lengths == [5, 10, 20, 40, 60, 60]
    health.answered()
    assert [health.failed(now + 1000, RULE, 0, 2) for _ in range(3)] == [False, False, True]
    assert health.ejected_until == now + 1005


def test_an_answer_between_failures_starts_the_row_anew():
    health = Health()
    for _ in range(10):
        assert not health.failed(1.0, RULE, 0, 2)
        assert not health.failed(1.0, RULE, 0, 2)
        health.answered()


def test_the_only_endpoint_is_never_ejected():
    health = Health()
    assert not any(health.failed(1.0, RULE, 0, 1) for _ in range(20))


@given(
    st.integers(1, 8),
    st.floats(0, 1),
    st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["fail", "answer", "pass"])), max_size=200),
)
def test_never_more_than_the_share_is_out(size, share, events):
    rule = EjectionRule(failures=2, seconds=3, longest=50, share=share)
    pool = [Health() for _ in range(size)]
    now = 1.0
    for number, event in events:
        health = pool[number % size]
        if event == "fail":
            out = sum(each.ejected_until > now for each in pool)
            health.failed(now, rule, out, size)
        elif event == "answer":
            health.answered()
        else:
            now += 1.0
        out = sum(each.ejected_until > now for each in pool)
        assert out <= share * size


@given(st.lists(st.integers(0, 40), max_size=40))
def test_it_always_returns(failures_between):
    health, now = Health(), 0.0
    for wait in failures_between:
        now += wait
        health.failed(now, RULE, 0, 4)
        assert health.ejected_until <= now + RULE.longest
