"""What holds whatever happens in whatever order, shown with random interleavings of many requests at the wire."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.config import PoolSettings
from gateway.families import MODELS
from gateway.pools import Pool
from gateway.tokens import Tokens
from gateway.upstream import Attempt, Endpoint
from routing.health import Conduct, EjectionRule
from tests.fakes.client import chat, post, until
from tests.fakes.gateway import SHORT, RunningGateway, config_for, running
from tests.fakes.server import (
    DONE,
    LAST,
    FakeServer,
    Seen,
    answer,
    chunk,
    chunked_head,
    content_frame,
    unary,
    usage_frame,
)

CHAT = "/v1/chat/completions"
FRAMES = 6
LIMIT = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass
class Play:
    """The model servers' side: each request says in its text what is to become of it, and carries its own mark."""

    randomness: random.Random
    seen: dict[str, int] = field(default_factory=dict)

    async def script(self, seen: Seen) -> None:
        body = json.loads(seen.body)
        mark, fate = body["messages"][0]["content"].split()
        self.seen[mark] = self.seen.get(mark, 0) + 1
        for _ in range(self.randomness.randrange(30)):
            await asyncio.sleep(0)
        frames = [content_frame(f"{mark}-{number} ") for number in range(FRAMES)] + [usage_frame(), DONE]
        whole = b"".join(map(chunk, frames)) + LAST
        if fate == "reset":
            seen.wire.reset()
        elif fate == "busy":
            await seen.wire.send(answer(b'{"error":{"message":"full"}}', 429, extra=b"retry-after: 0\r\n"))
        elif fate == "error":
            await seen.wire.send(answer(b'{"error":{"message":"broke"}}', 500))
        elif fate == "hang":
            await seen.wire.gone()
        elif body.get("stream"):
            cut = len(whole) // 2 if fate == "break" else len(whole)
            await seen.wire.send(chunked_head())
            await self.in_pieces(whole[:cut], seen)
            if fate == "break":
                seen.wire.reset()
        else:
            data = answer(unary(f"{mark}-whole"))
            await self.in_pieces(data[: len(data) // 2] if fate == "break" else data, seen)
            if fate == "break":
                seen.wire.reset()

    async def in_pieces(self, data: bytes, seen: Seen) -> None:
        at = 0
        while at < len(data):
            size = self.randomness.randrange(1, 400)
            await seen.wire.send(data[at : at + size])
            at += size


async def request(gateway: RunningGateway, mark: str, fate: str, stream: bool, patience: int) -> None:
    """One client: what it gets is its own and whole, or an error, or nothing. ``patience``: turns until it leaves."""
    body = post(CHAT, chat(content=f"{mark} {fate}", stream=stream))
    async with gateway.client() as client:
        client.send(body)
        if fate == "hang" or patience:
            for _ in range(patience or 50):
                await asyncio.sleep(0)
            client.drop()
            return
        message = await client.read()
        check(message, mark, fate, stream)


def check(message: Any, mark: str, fate: str, stream: bool) -> None:
    if message is None or not message.whole:
        assert fate in ("break", "reset")
        return
    status = message.status
    if fate == "ok":
        assert status == 200
        if stream:
            expected = [content_frame(f"{mark}-{number} ") for number in range(FRAMES)] + [DONE]
            assert message.body == b"".join(expected)  # byte for byte, without the usage nobody asked for
        else:
            assert message.body == unary(f"{mark}-whole")
    elif fate == "break" and stream:
        text = message.body.decode()
        assert status == 200
        assert text.count('"error"') == 1
        assert "[DONE]" not in text
        for line in text.split("\n\n")[:-1]:
            assert line.startswith("data: {")
            value = json.loads(line.removeprefix("data: "))
            assert "error" in value or value["choices"][0]["delta"]["content"].startswith(f"{mark}-")
    else:
        assert status in {"busy": (429, 503), "error": (500, 502), "reset": (502, 503), "break": (502,)}[fate]


def in_loop(story: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(story(), 60))  # type: ignore[arg-type]


fates = st.sampled_from(["ok", "ok", "ok", "break", "reset", "busy", "error", "hang"])
clients = st.lists(st.tuples(fates, st.booleans(), st.sampled_from([0, 0, 0, 1, 10, 40])), min_size=1, max_size=40)


@pytest.mark.parametrize("endpoints", [1, 3])
@LIMIT
@given(clients=clients, seed=st.integers(0, 2**32))
def test_under_any_interleaving(endpoints: int, clients: list[tuple[str, bool, int]], seed: int) -> None:
    async def story() -> None:
        play = Play(random.Random(seed))
        fakes = [await FakeServer(script=play.script).start() for _ in range(endpoints)]
        async with running(config_for(fakes)) as gateway:
            async with asyncio.TaskGroup() as group:
                for number, (fate, stream, patience) in enumerate(clients):
                    group.create_task(request(gateway, f"m{number}", fate, stream, patience))
                    for _ in range(play.randomness.randrange(5)):
                        await asyncio.sleep(0)
            await gateway.quiet()
            await until(lambda: not gateway.gateway.connections)
            assert [endpoint.load for endpoint in gateway.endpoints()] == [0] * endpoints
            verify(play, clients)
        for fake in fakes:
            await fake.stop()

    in_loop(story)


def verify(play: Play, clients: list[tuple[str, bool, int]]) -> None:
    for mark, times in play.seen.items():
        fate = clients[int(mark[1:])][0]
        # A second send happens only where the first one can't have been worked on: refused as busy, or stale.
        assert times == 1 or (times == 2 and fate in ("busy", "reset")), (mark, fate, times)


class PoolMachine(RuleBasedStateMachine):
    """One pool's endpoints through any order of attempts, ends, probes and time."""

    @initialize(size=st.integers(1, 5))
    def build(self, size: int) -> None:
        settings = PoolSettings.model_validate(
            {"model": SHORT, "endpoints": [{"url": f"http://127.0.0.1:{9000 + number}"} for number in range(size)]}
        )
        endpoints = [Endpoint("127.0.0.1", 9000 + number) for number in range(size)]
        for endpoint in endpoints:
            endpoint.up = True
        self.now = 1.0
        self.said: list[str] = []
        tokens = Tokens(MODELS[SHORT], ThreadPoolExecutor(1))
        ejection = EjectionRule(failures=2)
        self.pool = Pool(settings, MODELS[SHORT], endpoints, tokens, ejection=ejection, report=self.said.append)
        self.open: list[Attempt] = []

    @rule(
        affinity=st.none() | st.integers(0, 2**32 - 1), weight=st.integers(0, 40_000), tried=st.sets(st.integers(0, 4))
    )
    def attempt(self, affinity: int | None, weight: int, tried: set[int]) -> None:
        endpoints = self.pool.endpoints
        left_out = [endpoints[number] for number in tried if number < len(endpoints)]
        picked = self.pool.pick(self.now, affinity, left_out)
        able = [
            each for each in endpoints if each.up and each.health.ejected_until <= self.now and each not in left_out
        ]
        assert (picked in able) if able else picked is None
        if picked is not None:
            if any(each.health.held_until <= self.now for each in able):
                assert picked.health.held_until <= self.now
            self.open.append(Attempt(picked, weight))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), conduct=st.sampled_from(Conduct))
    def end(self, data: st.DataObject, conduct: Conduct) -> None:
        attempt = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        attempt.close()
        attempt.close()  # closing twice is closing once
        self.pool.judge(attempt.endpoint, conduct, self.now, seconds=2.0)

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(number=st.integers(0, 4), up=st.booleans())
    def probe(self, number: int, up: bool) -> None:
        if number < len(self.pool.endpoints):
            self.pool.endpoints[number].up = up

    @invariant()
    def counts_are_those_of_the_open_attempts(self) -> None:
        if hasattr(self, "pool"):
            for endpoint in self.pool.endpoints:
                mine = [attempt for attempt in self.open if attempt.endpoint is endpoint]
                assert endpoint.in_flight == len(mine)
                assert endpoint.load == sum(attempt._weight for attempt in mine)

    @invariant()
    def half_of_the_pool_is_never_ejected(self) -> None:
        if hasattr(self, "pool"):
            out = sum(each.health.ejected_until > self.now for each in self.pool.endpoints)
            assert out <= len(self.pool.endpoints) // 2
            assert len(self.said) == sum(each.ejections for each in self.pool.endpoints)


TestPool = PoolMachine.TestCase
