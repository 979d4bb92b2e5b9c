"""How serving ends: first nobody new is invited, then nobody new is let in, then those inside may finish."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from gateway.app import Gateway
from gateway.errors import ApiError

_LOOK = 0.05  # seconds between looks at what is still open
_FLUSH = 5.0  # seconds for a client to read the error that ended its answer


class Ending:
    """What signals have asked for. Before serving has begun, and the second time, everything ends at once."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._serving = False
        self._task: asyncio.Task[Any] | None = None
        self.delayed = False
        self.exit_code = 0

    @contextlib.asynccontextmanager
    async def scope(self) -> AsyncIterator[None]:
        """What is in it is cancelled by an end at once, which leaves the scope without an error."""
        task = self._task = asyncio.current_task()
        assert task is not None
        if self._asked.is_set():
            task.cancel()
        try:
            yield
        except asyncio.CancelledError:
            if not self._asked.is_set():
                raise
            task.uncancel()

    def ask(self, *, delayed: bool) -> None:
        """``delayed``: a load balancer needs time to notice."""
        if self._asked.is_set():
            self.exit_code = 1
        if self._task is not None and (self._asked.is_set() or not self._serving):
            self._task.cancel()
        self.delayed = delayed
        self._asked.set()

    def ask_once(self, *, delayed: bool) -> None:
        if not self._asked.is_set():
            self.ask(delayed=delayed)

    async def asked(self) -> None:
        self._serving = True
        await self._asked.wait()


async def drain(gateway: Gateway, servers: Sequence[asyncio.AbstractServer], *, delayed: bool) -> int:
    """Ends all connections, each after its last answer. Returns how many answers had to be ended early."""
    settings = gateway.config.drain
    gateway.draining = True  # /health/ready says so; answers carry `connection: close`
    if delayed:
        await asyncio.sleep(settings.delay)
    for server in servers:
        server.close()
    for connection in tuple(gateway.connections):
        connection.shutdown()
    if await _emptied(gateway, settings.grace):
        return 0
    late = tuple(gateway.connections)
    error = ApiError(503, "The gateway is shutting down, and the time for this answer is over.", code="shutting_down")
    for connection in late:
        connection.give_up(error)
    if not await _emptied(gateway, _FLUSH):
        for connection in tuple(gateway.connections):
            connection.transport.abort()
    return len(late)


async def _emptied(gateway: Gateway, seconds: float) -> bool:
    """Waits until no connection is left; False if that takes longer."""
    try:
        async with asyncio.timeout(seconds):
            while gateway.connections:  # noqa: ASYNC110 - the set is changed for every client; this is at the end only
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        return False
    return True
