"""`yardstick serve` with traces, as processes: each worker sends its own, and what waits is sent at the end."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.telemetry import span_names as names
from tests.conftest import StartFake
from tests.fakes.client import chat, post
from tests.fakes.gateway import SHORT
from tests.fakes.otlp import Received
from tests.fakes.process import serve_process, write_config
from tests.gateway.test_workers import one_client_each

CHAT = "/v1/chat/completions"


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch, soon: None) -> None:
    """Nothing is sent before the end."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")


@pytest.mark.usefixtures("late")
async def test_every_worker_sends_its_own(tmp_path: Path, fakes: StartFake, received: Received) -> None:
    fake = await fakes()
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, workers=2, traces={"sample": 1.0})
    async with serve_process(config) as process, asyncio.timeout(60):
        async with AsyncExitStack() as stack:
            for client in (await one_client_each(stack, process, 2)).values():
                for _ in range(5):
                    assert (await client.ask(post(CHAT, chat()))).status == 200
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
    assert len(received.traces) == 2  # one batch each
    own = [span for span in received.spans if span.kind == "SERVER"]
    assert len(received.spans) == 20
    assert len({span.trace for span in own}) == 10  # no two workers draw the same
    assert len({span.attributes[names.REQUEST_ID].partition("-")[0] for span in own}) == 2


@pytest.mark.usefixtures("late")
async def test_a_receiver_that_hangs_holds_up_the_end_for_seconds_only(
    tmp_path: Path, fakes: StartFake, received: Received
) -> None:
    hangs = threading.Event()
    received.on_request = lambda: hangs.wait(120)
    fake = await fakes()
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, drain={"delay": 0}, traces={"sample": 1.0})
    try:
        async with serve_process(config) as process:
            assert (await process.ask(post(CHAT, chat()))).status == 200
            process.signal(signal.SIGTERM)
            assert await process.ended() == 0  # or it takes too long for this
            await process.says("OpenTelemetry: of 2 spans of requests 2 were lost")
    finally:
        hangs.set()


async def test_another_share_is_taken_without_a_restart(tmp_path: Path, fakes: StartFake, received: Received) -> None:
    fake = await fakes()
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, traces={"sample": 0.0})
    async with serve_process(config) as process:
        assert (await process.ask(post(CHAT, chat()))).status == 200
        write_config(config, {SHORT: [fake.url]}, traces={"sample": 1.0})
        await process.says("reloaded")
        assert (await process.ask(post(CHAT, chat(), [("x-request-id", "second")]))).status == 200
        await asyncio.to_thread(received.wait_for_spans, 2)
    assert {span.attributes.get(names.REQUEST_ID) for span in received.spans} == {"second", None}
