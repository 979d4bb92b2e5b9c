"""Store and queue are killed under live traffic: it does not notice, nothing is lost, the report says since when."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.live.process import wall
from gateway.shadow.store import StoreUnavailable, open_store
from tests.conftest import StartFake
from tests.fakes.client import chat, post
from tests.fakes.gateway import SHORT
from tests.fakes.process import ServeProcess, serve_process
from tests.fakes.server import Seen
from tests.gateway.shadow.live.test_beside import CHAT, TASK, Beside, beside, listened_to, solution
from tests.gateway.shadow.planted.system import command
from tests.gateway.shadow.store.conftest import postgres
from tests.gateway.shadow.store.postgres import Server
from tests.gateway.shadow.walls import need_any
from tests.gateway.shadow.worker.conftest import redis
from tests.gateway.shadow.worker.redis_server import RedisServer

__all__ = ["beside", "postgres", "redis"]

BACKLOG = 4
"""Answers that take more than a second to be scored, so that some are on their way whenever something is killed."""
SLOWLY_WRONG = "    import time\n    time.sleep(0.2)\n    return None\n"
STORE_AWAY = "the store was not available: nothing could be claimed or recorded"


async def slowly_wrong(seen: Seen) -> None:
    await seen.wire.send(solution(SLOWLY_WRONG))


@dataclass
class Traffic:
    """Requests of a known task, each with an id of its own; all have to be answered."""

    gateway: ServeProcess
    store: str
    asked: list[str] = field(default_factory=list)

    async def ask(self, count: int = 1) -> None:
        for _ in range(count):
            request_id = f"live-{len(self.asked)}"
            request = post(CHAT, chat(content=TASK.instruct_prompt), [("x-request-id", request_id)])
            assert (await self.gateway.ask(request)).status == 200
            self.asked.append(request_id)

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        ended = asyncio.Event()

        async def asking() -> None:
            while not ended.is_set():
                await self.ask()
                await asyncio.sleep(0.3)  # one slot has to keep up

        async with asyncio.TaskGroup() as group:
            group.create_task(asking())
            yield
            ended.set()

    async def stored(self) -> dict[str, Outcome | None]:
        """By request, once all that were asked until now are there; None: there is no verdict yet."""
        return await self._once(lambda _: True)

    async def scored(self) -> dict[str, Outcome | None]:
        """By request, once all that were asked until now have verdicts."""
        return await self._once(lambda found: None not in found.values())

    async def _once(self, enough: Callable[[dict[str, Outcome | None]], bool]) -> dict[str, Outcome | None]:
        wanted = set(self.asked)
        async with asyncio.timeout(150):
            while True:
                known = await asyncio.to_thread(self._look)
                found = {name: known[name] for name in wanted if name in known}
                if len(found) == len(wanted) and enough(found):
                    return found
                await asyncio.sleep(0.1)  # a look takes a core, which what is waited for needs

    def _look(self) -> dict[str, Outcome | None]:
        try:
            with open_store(self.store) as store:
                return {each.sample.request_id: each.runs[0].outcome for each in store.evidence.samples()}
        except StoreUnavailable:
            return {}


@contextlib.asynccontextmanager
async def live(fakes: StartFake, beside: Beside, store: str, queue: str) -> AsyncIterator[Traffic]:
    """A gateway that has a scorer beside it, and has lost no request when it ends."""
    short = await fakes(script=slowly_wrong)
    config = beside.write({SHORT: [short.url]}, store=store, queue=queue)
    async with serve_process(config, environment=beside.environment) as gateway:
        await gateway.says("shadow-eval: scoring at level", seconds=200)
        await listened_to(gateway)
        traffic = Traffic(gateway, store)
        await traffic.ask(BACKLOG)
        await traffic.stored()
        yield traffic
        assert set((await traffic.scored()).values()) == {Outcome.FAIL}
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0


def report(traffic: Traffic) -> dict[str, Any]:
    done = command("shadow", "report", "--json", "--store", traffic.store)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def assert_nothing_lost(told: dict[str, Any], traffic: Traffic) -> None:
    assert told["samples"]["count"] == told["counted"]["matched"] == len(traffic.asked)
    assert told["counted"]["dropped"] == {}
    assert told["samples"]["runs_without_outcome_yet"] == 0


@pytest.mark.timeout(300)
async def test_the_store_is_killed_and_started_again(
    fakes: StartFake, beside: Beside, postgres: Server, redis: RedisServer
) -> None:
    need_any()
    redis.empty()
    async with live(fakes, beside, postgres.empty_database(), redis.url) as traffic:
        killed = wall()
        async with traffic.going_on():
            await asyncio.to_thread(postgres.kill)
            await traffic.gateway.says("the store of shadow-eval is not available: .*Trying again, at most", seconds=30)
            noticed = wall()
            await traffic.ask(BACKLOG)  # which only the process beside can hold now
            started = wall()
            await asyncio.to_thread(postgres.start)
            await traffic.gateway.says("the store is available again; nothing was lost", seconds=150)
    told = report(traffic)
    (gap,) = told["gaps"]
    assert gap["why"] == STORE_AWAY
    since, until = (datetime.fromisoformat(gap[name]).timestamp() for name in ("since", "until"))  # whole seconds
    assert killed - 1 < since <= noticed
    assert started - 1 < until <= wall()
    assert_nothing_lost(told, traffic)


@pytest.mark.timeout(300)
async def test_the_queue_is_killed_and_started_again(
    fakes: StartFake, beside: Beside, postgres: Server, redis: RedisServer
) -> None:
    """Which is no gap: verdicts go on all the while."""
    need_any()
    redis.empty()
    async with live(fakes, beside, postgres.empty_database(), redis.url) as traffic:
        async with traffic.going_on():
            await asyncio.to_thread(redis.kill)
            await traffic.gateway.says("the queue of shadow-eval is not available", seconds=30)
            await traffic.ask(BACKLOG)
        await traffic.scored()
        await asyncio.to_thread(redis.start)
        await traffic.gateway.says("the queue of shadow-eval is available again", seconds=150)
        await traffic.ask(BACKLOG)
    told = report(traffic)
    assert told["gaps"] == []
    assert_nothing_lost(told, traffic)
