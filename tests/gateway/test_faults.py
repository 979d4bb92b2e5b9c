"""Faults of our own, made to happen in a running gateway: told as ours wherever one looks, without what they quote."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import Any

import pytest

from gateway.relay import Relay
from gateway.telemetry import names, span_names
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import DEADLINE, Client, chat, get, post
from tests.fakes.gateway import SHORT, RunningGateway
from tests.fakes.otlp import HTTP, Received
from tests.fakes.server import DONE, LAST, Seen, chunk, chunked_head, content_frame
from tests.gateway.emitted import emitted, value

CHAT = "/v1/chat/completions"
PLANTED = "PLANTED-in-the-prompt"
FAILED_ONLY = {"sample": 0.0}
NO_OUTCOME = dict.fromkeys(names.REQUESTS.values["outcome"], 0)

pytestmark = pytest.mark.parametrize("protocol", [HTTP], indirect=True)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are sent at once, nearly."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


def plant(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: int = 0) -> None:
    """A mistake in a part of the gateway, from its call number ``after`` on; its message quotes the prompt."""
    sound, calls = getattr(owner, name), itertools.count()

    def fail(*given: Any) -> Any:
        if next(calls) < after:
            return sound(*given)
        raise ValueError(f"what is {PLANTED}?")

    monkeypatch.setattr(owner, name, fail)


class Told:
    """What a gateway has told after one fault; nothing of it may quote a prompt."""

    def __init__(self, metrics: bytes, lines: list[bytes]) -> None:
        found = emitted(metrics)
        self.outcomes = {each: value(found, "yardstick_requests_total", outcome=each) for each in NO_OUTCOME}
        self.lines = [json.loads(line) for line in lines]
        (self.fault,) = (line for line in self.lines if "fault" in line)
        assert self.fault["fault"] == "ValueError"
        assert self.fault["frames"][-1].endswith(" fail")

    @classmethod
    async def by(cls, gateway: RunningGateway, received: Received, caplog: pytest.LogCaptureFixture) -> Told:
        await gateway.quiet()
        metrics = (await gateway.ask(get("/metrics"))).body
        lines = await gateway.log_lines()
        told = "\n".join([*gateway.said, caplog.text]).encode()
        for text in (metrics, *lines, *received.traces, told):
            assert PLANTED.encode() not in text
        return cls(metrics, lines)

    def expect_our_outcome(self, status: int) -> None:
        assert self.outcomes == NO_OUTCOME | {"gateway_error": 1}
        (line,) = (line for line in self.lines if line is not self.fault)
        assert line["request_id"] == self.fault["request_id"]
        assert (line["outcome"], line["code"], line["status"]) == ("gateway_error", "internal_error", status)
        assert any("gateway/serve.py" in frame for frame in self.fault["frames"])


async def expect_trace(received: Received, attempts: int) -> None:
    spans = await asyncio.to_thread(received.wait_for_spans, 1 + attempts)
    assert sorted(span.kind for span in spans) == ["CLIENT"] * attempts + ["SERVER"]
    for span in spans:
        assert (span.attributes[span_names.ERROR_TYPE], span.failed) == ("internal_error", True)
        assert span.status_message == ""
    (own,) = (span for span in spans if span.kind == "SERVER")
    assert (own.attributes[span_names.OUTCOME], own.attributes[span_names.KEPT]) == ("gateway_error", "error")


async def to_the_end(client: Client) -> bytes:
    """What still comes until the connection is closed, or reset."""
    found = b""
    async with asyncio.timeout(DEADLINE):
        with contextlib.suppress(ConnectionError):
            while piece := await client.reader.read(1 << 16):
                found += piece
    return found


@pytest.mark.parametrize("part", ["decide", "pick"])
async def test_before_the_head_it_is_a_500(
    part: str,
    fakes: StartFake,
    serving: StartGateway,
    received: Received,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateway = await serving([await fakes()], traces=FAILED_ONLY)
    owners = {"decide": gateway.gateway.decider, "pick": gateway.gateway.pools[SHORT]}
    plant(monkeypatch, owners[part], part)
    found = await gateway.ask(post(CHAT, chat(content=PLANTED)))
    assert found.status == 500
    assert (found.error["type"], found.error["code"]) == ("server_error", "internal_error")
    assert PLANTED.encode() not in found.body
    await expect_trace(received, attempts=0)
    told = await Told.by(gateway, received, caplog)
    told.expect_our_outcome(500)
    assert found.header(b"x-request-id") == told.fault["request_id"].encode()


@pytest.mark.parametrize(("part", "after"), [("_note", 1), ("_chunk_seconds", 0)], ids=["second chunk", "end"])
async def test_within_a_stream_it_breaks_the_stream(
    part: str,
    after: int,
    fakes: StartFake,
    serving: StartGateway,
    received: Received,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A client must not take it for complete, and the model server is not to blame."""
    more = asyncio.Event()

    async def script(seen: Seen) -> None:
        await seen.wire.send(chunked_head(), chunk(content_frame("a")))
        await more.wait()
        await seen.wire.send(chunk(content_frame("b")), chunk(DONE), LAST)

    gateway = await serving([await fakes(script)], traces=FAILED_ONLY)
    plant(monkeypatch, Relay, part, after=after)
    async with gateway.client() as client:
        client.send(post(CHAT, chat(content=PLANTED, stream=True)))
        assert (await client.head()).startswith(b"HTTP/1.1 200 ")
        assert await client.frame() == content_frame("a")
        more.set()
        assert LAST not in await to_the_end(client)
    await expect_trace(received, attempts=1)
    (await Told.by(gateway, received, caplog)).expect_our_outcome(200)


async def test_of_a_small_route_too_it_is_logged(
    fakes: StartFake,
    serving: StartGateway,
    received: Received,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateway = await serving([await fakes()])
    plant(monkeypatch, gateway.gateway.decider, "decide")
    found = await gateway.ask(post("/v1/route", chat(content=PLANTED)))
    assert (found.status, found.error["code"]) == (500, "internal_error")
    assert PLANTED.encode() not in found.body
    told = await Told.by(gateway, received, caplog)
    assert found.header(b"x-request-id") == told.fault["request_id"].encode()
    assert any(frame.endswith(" decide_only") for frame in told.fault["frames"])
    assert (told.outcomes, told.lines) == (NO_OUTCOME, [told.fault])  # no model was asked for an answer
