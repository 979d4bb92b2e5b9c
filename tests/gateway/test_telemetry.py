"""What is kept of a request: sums and log lines; no reader of them can stop the gateway."""

from __future__ import annotations

import contextlib
import json
import os
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from gateway.relay import Outcome
from gateway.telemetry import names
from gateway.telemetry.log import LineLog
from gateway.telemetry.record import Recorder
from gateway.telemetry.totals import Buckets, ModelTotals
from routing.length import Decision
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import until

CHAT = b'{"model":"auto","messages":[{"role":"user","content":"hi"}]}'


def post(body: bytes) -> bytes:
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


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
        log.append(b"x" * 4095 + b"\n")
        log.flush()
    assert log.dropped > 0
    while not log.idle():
        drained(pipe.read)
    log.append(b"last\n")
    log.close()
    assert drained(pipe.read).endswith(b"last\n")


def test_a_reader_that_is_gone_loses_lines_and_stops_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    log = LineLog(write)
    log.append(b"one\n")
    log.append(b"two\n")
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
    recorder.settle()
    assert recorder.totals.requests == {("/v1/completions", "m", "cancelled"): 1}


def test_a_fault_in_counting_one_request_loses_no_other(pipe: SimpleNamespace) -> None:
    log = LineLog(pipe.write)
    recorder = Recorder(CollectorRegistry(), lambda: 0.0, lambda: 0.0, log)
    for number, size in enumerate((1, None, 3)):
        record = recorder.begin(
            SimpleNamespace(request_id=b"%d" % number, key_name="", shadow=False), "/v1/completions"
        )
        record.decided(Decision("m", 1, "bounded", "short-prompt"))
        record.relaying(Outcome(sent_at=0.1, first_byte_at=0.2, chunks=1, bytes=size))  # type: ignore[arg-type]
        record.end(200)
    recorder.settle()
    log.close()
    lines = [json.loads(line) for line in os.read(pipe.read, 1 << 16).splitlines()]
    assert sorted(line["request_id"] for line in lines if "ms" in line) == ["0", "2"]
    assert [line["fault"] for line in lines if "fault" in line] == ["TypeError"]
    assert recorder.totals.models["m"].bytes == 4


@pytest.mark.parametrize(
    ("status", "problem", "outcome"),
    [
        (200, "", "ok"),
        (200, "upstream_broken", "upstream_error"),
        (200, "internal_error", "gateway_error"),
        (404, "model_not_found", "client_error"),
        (500, "internal_error", "gateway_error"),
        (502, "upstream_broken", "upstream_error"),
        (503, "", "upstream_error"),
    ],
)
def test_outcomes(status: int, problem: str, outcome: str) -> None:
    recorder = Recorder(CollectorRegistry(), lambda: 0.0, lambda: 0.0, None)
    record = recorder.begin(SimpleNamespace(request_id=b"1", key_name="", shadow=False), "/v1/completions")
    record.failed(problem)
    record.end(status)
    recorder.settle()
    assert recorder.totals.requests == {("/v1/completions", "", outcome): 1}


def test_times_are_those_of_the_timer_by_length() -> None:
    """A fallback, too, counts under the model that answered; the overhead ends with the first attempt."""
    now = iter((10.0, 13.0))
    recorder = Recorder(CollectorRegistry(), lambda: next(now), lambda: 0.0, None)
    record = recorder.begin(SimpleNamespace(request_id=b"1", key_name="", shadow=False), "/v1/completions")
    record.decided(Decision("short", 700, "bounded", "short-prompt"))
    record.decided(Decision("long", 900, "estimated", "short-unavailable"))
    answer = Outcome(sent_at=10.25, first_byte_at=11.0, chunk_seconds=0.5, streamed=True, chunks=3, bytes=7)
    record.relaying(answer)
    answer.prompt_tokens = 1025
    record.end(200)
    recorder.settle()
    assert set(recorder.totals.models) == {"long"}
    totals = recorder.totals.models["long"]
    (times,) = (each for each in totals.lengths if each is not None)
    assert times is totals.of_length(4096)
    found = (totals.overhead, totals.prompt_length, times.first_chunk, times.chunk, times.duration)
    assert [each.sum for each in found] == [0.25, 900, 1.0, 0.5, 3.0]
    assert [sum(each.counts) for each in found] == [1] * 5


@pytest.mark.parametrize(("tokens", "label"), [(0, "1024"), (1024, "1024"), (1025, "4096"), (131072, "131072")])
def test_lengths_are_upper_bounds(tokens: int, label: str) -> None:
    totals = ModelTotals()
    assert totals.of_length(tokens) is totals.lengths[names.LENGTHS.index(label)]
    assert totals.of_length(131_073) is totals.lengths[names.LENGTHS.index("more")]
