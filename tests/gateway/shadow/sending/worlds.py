"""A gateway at the wire, a store in a file, and what is built on them, for tests of sending."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tenacity import wait_fixed

from gateway.shadow.canary.mix import LiveMix
from gateway.shadow.canary.prompt import RoutingTokens
from gateway.shadow.sending import Canaries, GatewayClient, Spending, StoreWriter
from gateway.shadow.store import Drawn, Store
from tests.fakes.server import FakeServer, Seen, answer, says, unary
from tests.gateway.shadow.canary.worlds import FIVE, by_words, plan
from tests.gateway.shadow.gate.worlds import FIRST, SECOND

SECRET = b"a secret that only the gateway has"
error = json.dumps({"error": {"message": "m", "type": "t", "param": None, "code": "shed"}}).encode()
too_long = json.dumps(
    {"error": {"message": "m", "type": "t", "param": None, "code": "context_length_exceeded"}}
).encode()


def bodies(gateway: FakeServer) -> list[dict[str, Any]]:
    return [json.loads(seen.body) for seen in gateway.requests]


def by_model(**scripts: bytes) -> Callable[[Seen], Any]:
    """Answers by the first letter of the model's name."""

    async def script(seen: Seen) -> None:
        await says(scripts[json.loads(seen.body)["model"][0]])(seen)

    return script


def writer_of(store: Store, source: str = "one", now: Callable[[], float] = lambda: 0.0, **options: Any) -> StoreWriter:
    return StoreWriter(store, source, now, wait=wait_fixed(0.001), **options)


class Steps:
    """A pause that lasts until the test lets it end. `looked`: how often it came back for the next one."""

    def __init__(self) -> None:
        self._go = asyncio.Queue[None]()
        self._back = asyncio.Queue[None]()

    async def __call__(self) -> None:
        self._back.put_nowait(None)
        await self._go.get()

    async def step(self) -> None:
        await self._back.get()
        self._go.put_nowait(None)

    async def waited(self) -> None:
        await self._back.get()
        self._back.put_nowait(None)


@dataclass
class Sent:
    store: Store
    now: Callable[[], float]
    gateway: FakeServer
    source: str = "one"
    priority: int | None = None

    @asynccontextmanager
    async def canaries(self, **settings: Any) -> AsyncIterator[Steps]:
        """Runs until the end of the block, and then all is written. 60 an hour: due at each minute of the clock."""
        steps, client = Steps(), GatewayClient(self.gateway.url, SECRET, timeout=20)
        writer = writer_of(self.store, self.source, self.now)
        spending = Spending("canary", writer, self.now)
        spending.restore(self.store.evidence)
        canaries = Canaries(
            plan(**{"rate": {"per_hour": 60}, **settings}),
            FIVE,
            (FIRST, SECOND),
            RoutingTokens(by_words, overhead=7),
            client,
            writer,
            spending,
            self.store.evidence,
            SECRET,
            self.now,
            mix=LiveMix,
            pause=steps,
            priority=self.priority,
        )
        task = asyncio.ensure_future(canaries.run())
        try:
            if settings.get("enabled", True):
                await steps.waited()  # so that it has begun to count from this time
            yield steps
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.aclose()
            await asyncio.to_thread(writer.close)

    def drawn(self) -> list[Drawn]:
        return [drawn for drawn in self.store.evidence.samples(answers=True) if drawn.sample.control is None]


SAYS = answer(unary("def f():\n    return 1\n"))
