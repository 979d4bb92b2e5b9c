"""The shadow process with a queue: workers elsewhere hear of live answers at once, and a while later of the rest."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading

import pytest

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.live.offers import Offers
from gateway.shadow.store import Store
from gateway.shadow.worker import suite_key
from gateway.shadow.worker.queue import RunQueue
from gateway.shadow.worker.queue_server import QueueServer
from tests.conftest import StartFake
from tests.fakes.gateway import SHORT
from tests.fakes.process import serve_process
from tests.gateway.shadow.live.test_beside import Beside, ask_until_stored, beside, right_or_wrong
from tests.gateway.shadow.store.conftest import opened, sqlite_url, store, time
from tests.gateway.shadow.store.evidence import NOON, Time, a_score
from tests.gateway.shadow.walls import need_any
from tests.gateway.shadow.worker.conftest import redis
from tests.gateway.shadow.worker.redis_server import RedisServer
from tests.gateway.shadow.worker.scenes import FIVE, waiting

__all__ = ["beside", "opened", "redis", "sqlite_url", "store", "time"]


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


class Listening:
    """A worker's end of the queue: what it is told of."""

    def __init__(self, queue: RunQueue, suite: str) -> None:
        self._queue, self._rung = queue, threading.Event()
        queue.listen([suite], self._rung.set)

    async def first(self) -> str:
        async with asyncio.timeout(150):
            while not (found := self._queue.take(1)):
                await asyncio.to_thread(self._rung.wait, 1)
                self._rung.clear()
        return found[0]


@pytest.mark.timeout(300)
async def test_a_live_answer_is_told_at_once(fakes: StartFake, beside: Beside, redis: RedisServer) -> None:
    redis.empty()
    short = await fakes(script=right_or_wrong)
    config = beside.write({SHORT: [short.url]}, scorers=0, queue=redis.url)
    with RunQueue(QueueServer(redis.url), lambda _: None) as queue:
        heard = Listening(queue, suite_key(FIVE))
        async with serve_process(config, environment=beside.environment) as gateway:
            await ask_until_stored(gateway, beside)
            run_id = await heard.first()
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0
    stored = await beside.drawn(bool)
    assert run_id in {scored.run.id for drawn in stored for scored in drawn.runs}


@pytest.mark.timeout(300)
async def test_it_may_score_beside_the_gateway_as_well(fakes: StartFake, beside: Beside, redis: RedisServer) -> None:
    need_any()
    redis.empty()
    short = await fakes(script=right_or_wrong)
    config = beside.write({SHORT: [short.url]}, scorers=1, queue=redis.url)
    async with serve_process(config, environment=beside.environment) as gateway:
        await gateway.says("shadow-eval: scoring at level", seconds=200)
        await ask_until_stored(gateway, beside)
        drawn = await beside.drawn(lambda drawn: bool(drawn) and not any(each.open for each in drawn))
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    assert {scored.outcome for each in drawn for scored in each.runs} == {Outcome.PASS}
    with redis.client() as client:
        assert not list(client.scan_iter("saq:job:*"))


async def test_what_nobody_told_is_told_later(store: Store, time: Time, redis: RedisServer) -> None:
    """As after a crash between the store and the queue. Again and again, until it is scored; what is new is not."""
    redis.empty()
    old, new = waiting(store, 0), waiting(store, 100)
    time.now = NOON + 60
    with RunQueue(QueueServer(redis.url), lambda _: None) as queue:
        heard, offers = Listening(queue, suite_key(FIVE)), Offers(queue)
        running = asyncio.ensure_future(offers.run(store, [suite_key(FIVE)], every=0.01))
        for _ in range(2):
            assert await heard.first() == old.id
            queue.done(old.id)
        (claim,) = store.claim("a", seconds=60, ids=[old.id])
        store.record(a_score(claim.run))
        time.now = NOON + 120
        while (run_id := await heard.first()) == old.id:
            queue.done(run_id)
        assert run_id == new.id
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
