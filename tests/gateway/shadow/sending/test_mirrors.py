from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.config_shadow import MirrorSettings
from gateway.shadow.canary.request import CHAT
from gateway.shadow.sending import GatewayClient, Matched, Mirrors, Spending
from gateway.shadow.store import Counter, Role, State, Store
from tests.conftest import StartFake
from tests.fakes.server import FakeServer, answer, says, silence, unary
from tests.gateway.shadow.gate.worlds import SECOND
from tests.gateway.shadow.sending.worlds import SECRET, bodies, writer_of
from tests.gateway.shadow.store.evidence import Time, a_run, a_sample

BODY = {"model": "auto", "messages": [], "stream": True, "stream_options": {}, "n": 3, "top_p": 0.5, "max_tokens": 10}


def matched(number: int = 0) -> Matched:
    sample = a_sample(number)
    return Matched(sample, a_run(sample), SECOND, CHAT, BODY)


@asynccontextmanager
async def mirroring(
    gateway: FakeServer, store: Store, *, priority: int | None = None, **settings: Any
) -> AsyncIterator[Mirrors]:
    time, client = Time(), GatewayClient(gateway.url, SECRET, timeout=20)
    writer = writer_of(store, now=time)
    spending = Spending("mirror", writer, time)
    spending.restore(store.evidence)
    given = MirrorSettings(**{"daily_tokens": 100_000, **settings})
    mirrors = Mirrors(client, writer, spending, given, SECRET, priority=priority)
    task = asyncio.ensure_future(mirrors.run())
    try:
        yield mirrors
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()
        await asyncio.to_thread(writer.close)


def mirrors_in(store: Store) -> list[State]:
    runs = [scored.run for drawn in store.evidence.samples() for scored in drawn.runs]
    return [run.state for run in runs if run.role is Role.MIRROR]


async def settled(store: Store) -> None:
    while State.ASKED in (states := await asyncio.to_thread(mirrors_in, store)) or not states:
        pass


async def test_the_other_family_is_asked(fakes: StartFake, store: Store) -> None:
    gateway = await fakes(says(answer(unary("password = 'hunter22'"))))
    async with mirroring(gateway, store, priority=7) as mirrors:
        assert mirrors.offer(matched())
        await settled(store)
    (body,) = bodies(gateway)
    assert len(body.pop("cache_salt")) == 43
    assert body == {"model": SECOND.model, "messages": [], "n": 1, "top_p": 0.5, "max_tokens": 10, "priority": 7}
    (drawn,) = store.evidence.samples(answers=True)
    (mirror,) = (scored.run for scored in drawn.runs if scored.run.role is Role.MIRROR)
    assert (mirror.state, mirror.answer, mirror.redacted) == (State.WAITING, "password = '[redacted]'", True)
    assert drawn.pair is not None


async def test_beyond_what_may_wait(fakes: StartFake, store: Store) -> None:
    gateway = await fakes(silence)
    before = asyncio.all_tasks()
    async with mirroring(gateway, store, at_once=1, waiting=2) as mirrors:
        assert [mirrors.offer(matched(number)) for number in range(5)] == [True] * 3 + [False] * 2
        await gateway.arrived.wait()
    assert sorted(mirrors_in(store)) == [State.CANCELLED] * 3 + [State.SHED] * 2
    dropped = [total for total in store.evidence.totals() if total.counter is Counter.DROPPED]
    assert [(total.value, total.reason) for total in dropped] == [(2, "mirror busy")]
    await gateway.stop()
    assert asyncio.all_tasks() == before


async def test_a_days_budget_also_after_a_restart(fakes: StartFake, store: Store) -> None:
    gateway, budget = await fakes(says(answer(unary()))), 10
    async with mirroring(gateway, store, daily_tokens=budget) as mirrors:
        assert mirrors.offer(matched())
        assert not mirrors.offer(matched(1))  # reserved
        await settled(store)
    async with mirroring(gateway, store, daily_tokens=budget) as mirrors:
        assert not mirrors.offer(matched(2))
    assert store.evidence.spent("2027-01-15", SECOND.model) == 10
