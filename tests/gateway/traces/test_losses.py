"""A receiver that is away, refuses or hangs: traffic is untouched, and every lost span is counted."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator

import pytest

from gateway.telemetry.traces.export import ExportedSpans, exporter
from gateway.telemetry.traces.keep import Ended, Trace
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, get, post
from tests.fakes.gateway import RunningGateway
from tests.fakes.otlp import Received

CHAT = "/v1/chat/completions"
FIRST_LOSS = "OpenTelemetry: spans of requests can't be sent. Serving goes on; what is lost is counted"
A_TRACE = Trace(None, 5, "sampled", frozenset(), lambda: 6)
ENDED = Ended(b"id", CHAT, 200, "ok", "", None, None, 0.0, 1.0)


@pytest.fixture
def nobody(protocol: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment names an address at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{bound.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
        yield


async def counted(gateway: RunningGateway, name: str) -> dict[str, float]:
    text = (await gateway.ask(get("/metrics"))).body.decode()
    return {key: float(n) for key, n in re.findall(rf'^{name}_total\{{outcome="(\w+)"\}} (\S+)$', text, re.MULTILINE)}


async def ask_twenty(gateway: RunningGateway) -> None:
    for _ in range(20):
        assert (await gateway.ask(post(CHAT, chat()))).status == 200


async def end(gateway: RunningGateway) -> None:
    assert gateway.gateway.traces is not None
    await asyncio.to_thread(gateway.gateway.traces.close)


@pytest.mark.usefixtures("nobody")
async def test_without_a_receiver_answers_come_and_losses_are_counted(
    fakes: StartFake, serving: StartGateway, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = await serving([await fakes()], traces={"sample": 1.0})
    await ask_twenty(gateway)
    await end(gateway)
    assert await counted(gateway, "yardstick_spans") == {"sent": 0, "lost": 40}
    assert (await counted(gateway, "yardstick_traces"))["sampled"] == 20
    assert [line for line in gateway.said if "OpenTelemetry" in line] == [
        FIRST_LOSS,
        "OpenTelemetry: of 40 spans of requests 40 were lost",
    ]
    assert capfd.readouterr() == ("", "")  # the SDK says nothing by itself


async def test_what_a_receiver_refuses_is_lost_and_what_it_takes_is_sent(
    fakes: StartFake, serving: StartGateway, received: Received
) -> None:
    refused = threading.Event()

    def refuse() -> bool:
        refused.set()
        return False

    received.on_request = refuse
    gateway = await serving([await fakes()], traces={"sample": 1.0})
    assert (await gateway.ask(post(CHAT, chat()))).status == 200
    assert await asyncio.to_thread(refused.wait, 30)
    received.on_request = lambda: True
    assert (await gateway.ask(post(CHAT, chat()))).status == 200
    await asyncio.to_thread(received.wait_for_spans, 2)
    await end(gateway)
    found = await counted(gateway, "yardstick_spans")
    assert (found["sent"] + found["lost"], found["sent"] >= 2, found["lost"] >= 1) == (4, True, True)


async def test_a_receiver_that_hangs_makes_nobody_wait(
    fakes: StartFake, serving: StartGateway, received: Received
) -> None:
    hangs, came = threading.Event(), threading.Event()

    def hang() -> bool:
        came.set()
        return hangs.wait(60)

    received.on_request = hang
    try:
        gateway = await serving([await fakes()], traces={"sample": 1.0})
        await ask_twenty(gateway)
        assert await asyncio.to_thread(came.wait, 30)
        await ask_twenty(gateway)
        await end(gateway)
        assert await counted(gateway, "yardstick_spans") == {"sent": 0, "lost": 80}
    finally:
        hangs.set()


def test_what_waits_is_bounded_and_the_end_is_soon(received: Received, protocol: str) -> None:
    hangs, came = threading.Event(), threading.Event()

    def hang() -> bool:
        came.set()
        return hangs.wait(60)

    received.on_request = hang
    said: list[str] = []
    exported = ExportedSpans(exporter(protocol), said.append, patience=0.1)
    try:
        room = [exported.put(A_TRACE, "sampled", ENDED) for _ in range(5_000)]
        assert (room.count(True), room[:2_048]) == (2_048, [True] * 2_048)
        assert exported.counted == {"sent": 0, "lost": 5_000 - 2_048}
        assert came.wait(30)
        exported.close()
        assert exported.counted == {"sent": 0, "lost": 5_000}
        assert said == [FIRST_LOSS, "OpenTelemetry: of 5,000 spans of requests 5,000 were lost"]
        assert not exported.put(A_TRACE, "sampled", ENDED)
    finally:
        hangs.set()


async def test_a_fault_of_ours_costs_a_trace_and_no_answer(
    fakes: StartFake, serving: StartGateway, received: Received
) -> None:
    gateway = await serving([await fakes()], traces={"sample": 1.0})
    fake = gateway.endpoints()[0]
    fake.served_json = b'"\\ud800"'  # no text that could be sent
    assert (await gateway.ask(post(CHAT, chat()))).status == 200
    assert (await gateway.ask(post(CHAT, chat(), [("x-request-id", "after")]))).status == 200
    await end(gateway)
    found = await counted(gateway, "yardstick_spans")
    assert found["sent"] + found["lost"] == 4
