"""A gateway that runs in the test's own loop, as `yardstick serve` runs it, with its parts in reach."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

from gateway.app import Gateway
from gateway.config import Config
from gateway.downstream import Connection
from gateway.drain import drain
from gateway.shadow.tap import Beside
from gateway.telemetry.log import LineLog
from gateway.telemetry.traces import open_traces
from gateway.upstream import Endpoint
from tests.fakes.client import Client, until
from tests.fakes.server import FakeServer

SHORT = "codegeex4-all-9b"
LONG = "iquest-coder-v1-40b-loop-instruct"


class RunningGateway:
    """``said`` are its reports; ``port`` is where it listens."""

    def __init__(self, gateway: Gateway, server: asyncio.Server, port: int, said: list[str], log: int) -> None:
        self.gateway = gateway
        self.server = server
        self.port = port
        self.said = said
        self._log = log

    async def drain(self) -> int:
        """As after SIGINT: see `gateway.drain.drain`."""
        return await drain(self.gateway, [self.server], delayed=False)

    def client(self) -> Client:
        return Client(self.port)

    async def ask(self, data: bytes) -> Any:
        """One request on a connection of its own."""
        async with self.client() as client:
            return await client.ask(data)

    def endpoints(self) -> list[Endpoint]:
        return [endpoint for pool in self.gateway.pools.values() for endpoint in pool.endpoints]

    def in_flight(self) -> int:
        return sum(endpoint.in_flight for endpoint in self.endpoints())

    async def quiet(self) -> None:
        """Waits until nothing is in flight."""
        await until(lambda: self.in_flight() == 0)

    def pass_time(self, seconds: float) -> None:
        """What happens if the next tick comes that much later."""
        now = self.gateway.clock.now + seconds
        for connection in tuple(self.gateway.connections):
            connection.tick(now)

    async def log_lines(self) -> list[bytes]:
        """The lines so far, through the writer thread."""
        log = self.gateway.log
        assert log is not None
        self.gateway.recorder.settle()
        log.flush()
        await until(log.idle)
        found = b""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._log, 1 << 16):
                found += piece
        return found.splitlines()


def config_for(short: Sequence[FakeServer], long: Sequence[FakeServer] = (), **settings: Any) -> Config:
    """``long`` empty: one model answers everything."""
    pools: list[dict[str, Any]] = [{"model": SHORT, "endpoints": [{"url": fake.url} for fake in short]}]
    routing = {"short": SHORT, "long": SHORT}
    if long:
        pools.append({"model": LONG, "endpoints": [{"url": fake.url} for fake in long]})
        routing["long"] = LONG
    routing.update(settings.pop("routing", {}))
    return Config.model_validate({"pools": pools, "routing": routing} | settings)


@contextlib.asynccontextmanager
async def running(config: Config, beside: Beside | None = None) -> AsyncIterator[RunningGateway]:
    """Serves on a free port until the scope ends; in-flight attempts must then have ended."""
    said: list[str] = []
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    thresholds = gc.get_threshold()
    traces = open_traces(config.traces, said.append)
    gateway = Gateway(config, said.append, LineLog(write_end), beside=beside, traces=traces)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    async with gateway.running():
        server = await asyncio.get_running_loop().create_server(lambda: Connection(gateway), sock=listener)
        try:
            yield RunningGateway(gateway, server, listener.getsockname()[1], said, read_end)
        finally:
            server.close()
            for connection in tuple(gateway.connections):
                connection.transport.abort()
            await until(lambda: not gateway.connections)
    os.close(write_end)
    os.close(read_end)
    gc.unfreeze()
    gc.set_threshold(*thresholds)
