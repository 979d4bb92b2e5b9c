"""Fixtures for every test that talks to a running gateway: fakes at the wire, all of it in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from gateway.shadow.tap import Beside
from tests.fakes.gateway import RunningGateway, config_for, running
from tests.fakes.server import FakeServer, Script

if TYPE_CHECKING:
    from xdist.remote import Producer

    from tests.fakes.otlp import Received
    from tests.spread import LongestFirst


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With YARDSTICK_NO_SKIPS=1 (in CI) what a test lacks must be mended: a skip is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if os.environ.get("YARDSTICK_NO_SKIPS") == "1" and skipped and session.exitstatus == pytest.ExitCode.OK:
        for report in skipped:
            reporter.write_line(f"skipped, which counts as a failure here: {report.nodeid} {report.longrepr}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LongestFirst | None:
    if config.option.dist != "loadfile":
        return None
    from tests.spread import LongestFirst  # here, for it imports xdist

    return LongestFirst(config, log)


StartFake = Callable[..., Awaitable[FakeServer]]
StartGateway = Callable[..., Awaitable[RunningGateway]]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that `yardstick serve` runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def no_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's settings of whoever runs the tests are none of theirs."""
    for name in tuple(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.fixture(params=["http/protobuf", "grpc"])
def protocol(request: pytest.FixtureRequest) -> str:
    """Of OTLP."""
    found: str = request.param
    return found


@pytest.fixture
def received(protocol: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """A receiver that the environment names, for one protocol after the other."""
    from tests.fakes.otlp import receiver  # here, for it imports gRPC

    with receiver(protocol) as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        yield found


@pytest.fixture
async def fakes() -> AsyncIterator[StartFake]:
    """Starts fake model servers: ``await fakes(script=..., name=..., window=...)``."""
    started: list[FakeServer] = []

    async def start(script: Script | None = None, **options: Any) -> FakeServer:
        fake = await FakeServer(script=script, **options).start()
        started.append(fake)
        return fake

    yield start
    for fake in started:
        await fake.stop()


@pytest.fixture
async def serving() -> AsyncIterator[StartGateway]:
    """Starts gateways: ``await serving([fake], **settings)``."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            short: Sequence[FakeServer],
            long: Sequence[FakeServer] = (),
            *,
            beside: Beside | None = None,
            **settings: Any,
        ) -> RunningGateway:
            return await stack.enter_async_context(running(config_for(short, long, **settings), beside))

        yield start
