"""Metrics and log lines: what is promised is emitted, and nothing else; no reader can stop the gateway."""

from __future__ import annotations

import contextlib
import json
import os
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import names
from gateway.telemetry.log import LineLog
from gateway.telemetry.record import Recorder
from gateway.telemetry.totals import Buckets
from routing.length import Decision
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import until

NAMES = {value for value in vars(names).values() if isinstance(value, names.Name)}
OF_SHADOW = {name for name in NAMES if name.name.startswith("yardstick_shadow_")}
PROMISED = NAMES - OF_SHADOW  # a gateway without shadow-eval has none of those
CHAT = b'{"model":"auto","messages":[{"role":"user","content":"hi"}]}'


async def scraped(gateway: object) -> dict[str, set[str]]:
    """Metric name -> its labels, of our own metrics."""
    answer = await gateway.ask(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")  # type: ignore[attr-defined]
    families = text_string_to_metric_families(answer.body.decode())
    ours = [family for family in families if family.name.startswith("yardstick_")]
    return {family.name: {key for s in family.samples for key in s.labels} - {"le"} for family in ours}


def post(body: bytes) -> bytes:
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def test_what_is_emitted_is_what_is_registered_both_ways(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    assert (await gateway.ask(post(CHAT))).status == 200
    assert await scraped(gateway) == {name.name: set(name.labels) for name in PROMISED}


async def test_labels_are_bounded_whatever_a_client_sends(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    for number in range(20):
        body = b'{"model":"made-up-%d","messages":[]}' % number
        assert (await gateway.ask(post(body))).status == 404
        await gateway.ask(b"BREW /pot-%d HTTP/1.1\r\n\r\n" % number)
    requests = gateway.gateway.recorder.totals.requests
    assert set(requests) <= {("/v1/chat/completions", "", "client_error"), ("refused", "", "client_error")}
    assert requests["/v1/chat/completions", "", "client_error"] == 20


def test_buckets_take_a_value_that_equals_their_bound() -> None:
    buckets = Buckets()
    for seconds in (0.005, 0.0051, 640.0, 641.0):
        buckets.observe(seconds)
    found = dict(buckets.cumulative())
    assert (found["0.005"], found["0.01"], found["640.0"], found["+Inf"]) == (1, 2, 3, 4)
    assert buckets.sum == pytest.approx(1281.0101)


@pytest.fixture
def pipe() -> object:
    read, write = os.pipe()
    yield SimpleNamespace(read=read, write=write)
    for end in (read, write):
        os.close(end)


def drained(descriptor: int) -> bytes:
    """What is in the pipe now."""
    os.set_blocking(descriptor, False)
    found = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(descriptor, 1 << 16):
            found += piece
    return found


def test_a_reader_that_does_not_read_loses_lines_and_stops_nothing(pipe: SimpleNamespace) -> None:
    log = LineLog(pipe.write)
    for _ in range(200):
        log.append(b"x" * 4096)
        log.flush()
    assert log.dropped > 0
    while not log.idle():
        drained(pipe.read)
    log.append(b"last")
    log.close()
    assert drained(pipe.read).endswith(b"last\n")


def test_a_reader_that_is_gone_loses_lines_and_stops_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    log = LineLog(write)
    log.append(b"one")
    log.append(b"two")
    log.close()
    os.close(write)
    assert log.dropped == 2


async def test_a_line_says_what_became_of_a_request(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    await gateway.ask(post(CHAT))
    await gateway.ask(post(b'{"model":"nope","messages":[]}'))
    await until(lambda: gateway.in_flight() == 0)
    good, bad = (json.loads(line) for line in await gateway.log_lines())
    assert (good["outcome"], good["status"], good["model"]) == ("ok", 200, "codegeex4-all-9b")
    assert good["reason"] == "only-model"
    assert good["ms"] >= good["first_chunk_ms"] > 0
    assert (bad["outcome"], bad["status"], bad["code"]) == ("client_error", 404, "model_not_found")


def test_a_fault_is_logged_without_values(pipe: SimpleNamespace) -> None:
    log = LineLog(pipe.write)
    recorder = Recorder(CollectorRegistry(), lambda: 0.0, lambda: 1.7e9, log)

    def fail(secret: str) -> None:
        raise ValueError(secret)

    with pytest.raises(ValueError, match="hunter2") as caught:
        fail("hunter2")
    recorder.log_fault("request-1", caught.value)
    log.close()
    line = os.read(pipe.read, 1 << 16)
    assert json.loads(line)["fault"] == "ValueError"
    assert b"in fail" in line or b" fail" in line
    assert b"hunter2" not in line


def test_a_request_that_nobody_answered_counts_as_cancelled() -> None:
    recorder = Recorder(CollectorRegistry(), lambda: 0.0, lambda: 0.0, None)
    record = recorder.begin(SimpleNamespace(request_id=b"1", key_name="", shadow=False), "/v1/completions")
    record.decided(Decision("m", 1, "bounded", "short-prompt"))
    record.cancelled("")
    record.end(0)
    assert recorder.totals.requests == {("/v1/completions", "m", "cancelled"): 1}
