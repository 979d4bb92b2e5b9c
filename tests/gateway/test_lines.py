"""Lines of the log are JSON, with what there is to tell of a request and nothing else."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from gateway.relay import Outcome
from gateway.telemetry.log import LineLog
from gateway.telemetry.record import Recorder
from routing.length import Decision

ROUTE = "/v1/completions"
TEXTS = st.text(max_size=12)
COUNTS = st.none() | st.integers(0, 10**7)


def written(began: float, ended: float, fill: Any, status: int, **exchange: Any) -> list[dict[str, Any]]:
    """The log's lines of one request that `fill` says more of. The timer's zero is at one second of the year 2026."""
    times = iter((began, ended, 0.0))
    reading, writing = os.pipe()
    log = LineLog(writing)
    recorder = Recorder(CollectorRegistry(), lambda: next(times), lambda: 1_767_225_601.0, log)
    record = recorder.begin(
        SimpleNamespace(**{"request_id": b"id:1", "key_name": "", "shadow": False} | exchange), ROUTE
    )
    fill(record)
    record.end(status)
    recorder.settle()
    log.close()
    os.close(writing)
    with open(reading, "rb") as told:
        return [json.loads(line) for line in told.read().splitlines()]


@given(TEXTS, TEXTS, st.floats(0.25, 9), COUNTS, COUNTS, st.booleans())
def test_a_line_says_what_there_is(
    key: str, code: str, seconds: float, prompt: int | None, output: int | None, chunked: bool
) -> None:
    def fill(record: Any) -> None:
        record.decided(Decision("a/model", 12, "bounded", "short-prompt"))
        answer = Outcome(chunks=int(chunked), first_byte_at=0.625, prompt_tokens=prompt, completion_tokens=output)
        record.relaying(answer)
        record.failed(code)

    (line,) = written(0.5, 0.5 + seconds, fill, 404, key_name=key)
    expected = {"request_id": "id:1", "key": key, "route": ROUTE, "status": 404, "model": "a/model", "tokens": 12}
    expected |= {"counted": "bounded", "reason": "short-prompt"}
    expected["outcome"] = "gateway_error" if code == "internal_error" else "client_error"
    if code:
        expected["code"] = code
    if chunked:
        counts = {"prompt_tokens": prompt, "output_tokens": output}
        expected |= {"first_chunk_ms": 125} | {name: count for name, count in counts.items() if count is not None}
    assert line.pop("time").startswith("2026-01-01T00:00:")
    assert abs(line.pop("ms") - 1000 * seconds) <= 0.001
    assert line == expected


def test_what_was_not_decided_has_no_model_and_no_length() -> None:
    (line,) = written(0.0, 1.25, lambda record: record.failed("invalid_json"), 400)
    assert line == {
        "time": "2026-01-01T00:00:02.250Z",
        "request_id": "id:1",
        "key": "",
        "route": ROUTE,
        "status": 400,
        "outcome": "client_error",
        "code": "invalid_json",
        "ms": 1250,
    }


def test_our_own_requests_are_not_written_down() -> None:
    assert written(0.0, 1.0, lambda _: None, 200, shadow=True) == []
