"""A part of the gateway switched off and on: what is made of the turns, and that they are turns."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.observability import ALL_OF_IT, receiver, span_counts, switching
from loadtests.overhead import HERE, free_port
from loadtests.shadow import metrics_of
from loadtests.turns import BLOCKS, PLAIN, WARMING, compared, row, seconds_of_load

_TURNS = 4 * 3 * BLOCKS


def turns(drift: int, more: int) -> list[tuple[bool, int, int]]:
    """Of a request each, in nanoseconds: some take ``more``, and each takes ``drift`` more than the one before."""
    ways = [number % 4 in (1, 2) for number in range(_TURNS)]
    return [(on, 1, 10**6 + drift * number + more * on) for number, on in enumerate(ways)]


@given(drift=st.integers(-1000, 1000), more=st.integers(-(10**5), 10**5), later=st.integers(0, 10**9))
def test_what_grows_with_time_is_no_difference(drift: int, more: int, later: int) -> None:
    found = row("any", turns(drift, more), {"log": later}, exact=True)
    expected = more / 1e3 + later / 1e3 / (_TURNS / 2)
    assert found.more == pytest.approx(expected, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((expected, expected), abs=1e-6)


def test_too_few_turns_are_no_measurement() -> None:
    with pytest.raises(ValueError, match="load it for longer"):
        row("any", turns(0, 0)[: 4 * BLOCKS - 1], {}, exact=True)


@pytest.fixture
def model_servers() -> Iterator[list[int]]:
    ports = [free_port(), free_port()]
    servers = [subprocess.Popen([sys.executable, str(HERE / "fake_model_server.py"), str(port)]) for port in ports]
    yield ports
    for server in servers:
        server.terminate()
        server.wait()


@pytest.mark.load
def test_half_of_the_requests_are_not_recorded(model_servers: list[int]) -> None:
    with receiver() as address, switching(ALL_OF_IT, model_servers, address) as gateway:
        found = compared(PLAIN, gateway, model_servers[0], seconds=10.0)
        told = re.findall(r"^yardstick_requests_total\{.*\} (\S+)", metrics_of(gateway.port), re.MULTILINE)
        spans = span_counts(gateway.port)
        written = json.loads(gateway.file.read_text())
    on, off = (sum(count for way, count, _ in written["turns"] if way is wanted) for wanted in (True, False))
    assert found.exact
    assert off > on / 3
    # Those under way at a switch are of both ways.
    assert sum(map(float, told)) == pytest.approx(WARMING * PLAIN.concurrency + on, rel=0.1)
    assert (spans["sent"] > 0, spans["lost"]) == (True, 0)
    # By name: one that was called otherwise would cost nothing.
    assert {name for name, spent in written["threads"].items() if spent > 0} == {"log", "OtelBatchSpanRecordProcessor"}
    assert found.later > 0


def test_too_short_a_load_is_told() -> None:
    assert seconds_of_load("10") == 10.0
    for text in ("9.9", "-60", "nan"):
        with pytest.raises(argparse.ArgumentTypeError, match="at least 10"):
            seconds_of_load(text)
