"""Live requests reach whoever listens beside the gateway, and nothing that goes wrong there reaches a client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.keys import key_line, new_key
from gateway.shadow.canary.mark import mark
from gateway.shadow.live.receiver import Receiver, Taken
from gateway.shadow.tap import Beside
from gateway.shadow.tap.frames import Counted, Missed, Observed
from gateway.shadow.tap.sampling import Sampling
from gateway.shadow.tap.tap import Settings, Tap
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, get, post, until
from tests.fakes.gateway import SHORT, RunningGateway
from tests.fakes.server import DONE, Seen, answer, content_frame, says, stream, unary, usage_frame

CHAT = "/v1/chat/completions"
ALL = {"keyless": 1.0, "most_per_second": 1000}


class Listening:
    """What has come beside the gateway."""

    def __init__(self, folder: Path) -> None:
        self.beside = Beside(folder / "tap", b"sealed with this")
        self.taken = list[Taken]()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Receiver]:
        receiver = Receiver(self.beside.socket, self.taken.append)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(receiver.run())
            yield receiver
            task.cancel()

    @property
    def observed(self) -> list[Observed]:
        return [each for each in self.taken if isinstance(each, Observed)]

    async def observe(self, gateway: RunningGateway, count: int = 1) -> list[Observed]:
        """Waits for so many, which the gateway may write only at its next tick."""
        tap = gateway.gateway.tap
        assert tap is not None
        await gateway.quiet()
        await until(lambda: (tap.tick(), len(self.observed) >= count)[1])
        return self.observed


@pytest.fixture
def listening(tmp_path: Path) -> Listening:
    return Listening(tmp_path)


async def connected(gateway: RunningGateway, listening: Listening) -> None:
    await until(lambda: any(isinstance(each, Missed) for each in listening.taken))
    assert gateway.gateway.tap is not None


async def test_a_request_and_its_answer(fakes: StartFake, serving: StartGateway, listening: Listening) -> None:
    fake = await fakes(script=says(answer(unary("def f(): return 1"))))
    async with listening.open():
        gateway = await serving([fake], beside=listening.beside, shadow=ALL)
        await connected(gateway, listening)
        body = chat(content="write f")
        message = await gateway.ask(post(CHAT, body, [("x-request-id", "r-1")]))
        (seen,) = await listening.observe(gateway)
    assert (seen.request_id, seen.route, seen.model, seen.propensity) == ("r-1", CHAT, SHORT, 1.0)
    assert seen.body == body
    assert seen.answer == message.body
    assert (seen.used_in, seen.used_out, seen.cancelled, seen.stream) == (7, 3, False, False)


async def test_a_stream_as_the_client_got_it(fakes: StartFake, serving: StartGateway, listening: Listening) -> None:
    frames = [content_frame("def f"), content_frame("(): ..."), usage_frame(), DONE]
    fake = await fakes(script=says(*stream(frames)))
    async with listening.open():
        gateway = await serving([fake], beside=listening.beside, shadow=ALL)
        await connected(gateway, listening)
        message = await gateway.ask(post(CHAT, chat(stream=True)))
        (seen,) = await listening.observe(gateway)
    assert seen.answer == message.body  # without the usage, which the client did not ask for
    assert (seen.used_in, seen.used_out, seen.stream) == (7, 3, True)


async def test_nobody_is_sampled_who_did_not_opt_in(
    fakes: StartFake, serving: StartGateway, listening: Listening, tmp_path: Path
) -> None:
    keys = {name: new_key() for name in ("in", "out")}
    file = tmp_path / "keys"
    file.write_text("".join(key_line(name, key) + "\n" for name, key in keys.items()))
    fake = await fakes()
    async with listening.open():
        shadow = {"keys": {"in": 1.0}, "keyless": 1.0}
        gateway = await serving([fake], beside=listening.beside, shadow=shadow, api_key_file=str(file))
        await connected(gateway, listening)
        for name in ("out", "in"):
            await gateway.ask(post(CHAT, chat(), [("authorization", f"Bearer {keys[name]}")]))
        off = [("authorization", f"Bearer {keys['in']}"), ("x-yardstick-shadow", "off")]
        await gateway.ask(post(CHAT, chat(content="not this one"), off))
        (seen,) = await listening.observe(gateway)
    assert seen.key == "in"
    assert len(fake.requests) == 3


async def test_a_client_that_leaves_is_a_cancelled_sample(
    fakes: StartFake, serving: StartGateway, listening: Listening
) -> None:
    async def begins(seen: Seen) -> None:
        await seen.wire.send(*stream([content_frame("def")])[:-1])
        await seen.wire.gone()

    fake = await fakes(script=begins)
    async with listening.open():
        gateway = await serving([fake], beside=listening.beside, shadow=ALL)
        await connected(gateway, listening)
        async with gateway.client() as client:
            client.send(post(CHAT, chat(stream=True)))
            await client.head()
            await client.frame()
        (seen,) = await listening.observe(gateway)
    assert seen.cancelled
    assert seen.answer == b""


async def test_without_a_shadow_process_requests_are_answered_and_losses_counted(
    fakes: StartFake, serving: StartGateway, listening: Listening
) -> None:
    fake = await fakes()
    gateway = await serving([fake], beside=listening.beside, shadow=ALL)
    assert (await gateway.ask(post(CHAT, chat()))).status == 200
    tap = gateway.gateway.tap
    assert tap is not None
    assert dict(tap.dropped) == {"no shadow process": 1}
    metrics = (await gateway.ask(get("/metrics"))).body
    assert b'yardstick_shadow_dropped_total{reason="no shadow process"} 1.0' in metrics
    async with listening.open():
        await connected(gateway, listening)
        (missed,) = [each for each in listening.taken if isinstance(each, Missed)]
        await until(lambda: (tap.tick(), any(isinstance(each, Counted) for each in listening.taken))[1])
        counted = next(each for each in listening.taken if isinstance(each, Counted))
    assert missed.since <= missed.until
    assert (counted.source, counted.dropped) == (missed.source, {"no shadow process": 1})
    assert counted.sampled == {SHORT: 1}


async def test_it_comes_back(fakes: StartFake, serving: StartGateway, listening: Listening) -> None:
    fake = await fakes()
    async with listening.open():
        gateway = await serving([fake], beside=listening.beside, shadow=ALL)
        await connected(gateway, listening)
    (first,) = [each for each in listening.taken if isinstance(each, Missed)]
    listening.taken.clear()
    async with listening.open():
        await connected(gateway, listening)
        (second,) = [each for each in listening.taken if isinstance(each, Missed)]
        assert (first.again, second.again) == (False, True)
        await gateway.ask(post(CHAT, chat()))
        assert len(await listening.observe(gateway)) == 1


async def test_what_failed_is_no_sample(fakes: StartFake, serving: StartGateway, listening: Listening) -> None:
    fake = await fakes(script=says(answer(b'{"error":{"message":"no","type":"x","code":400}}', 400)))
    async with listening.open():
        gateway = await serving([fake], beside=listening.beside, shadow=ALL)
        await connected(gateway, listening)
        assert (await gateway.ask(post(CHAT, chat()))).status == 400
        assert gateway.gateway.tap is not None
        assert dict(gateway.gateway.tap.dropped) == {"failed": 1}
    assert not listening.observed


async def test_its_metrics_are_shown_with_the_gateways(
    fakes: StartFake, serving: StartGateway, listening: Listening
) -> None:
    async with listening.open() as receiver:
        gateway = await serving([await fakes()], beside=listening.beside, shadow=ALL)
        await connected(gateway, listening)
        receiver.expose(b"# HELP a_thing x\na_thing 1.0\n")
        tap = gateway.gateway.tap
        await until(lambda: tap is not None and tap.exposition)
        metrics = (await gateway.ask(get("/metrics"))).body
    assert metrics.endswith(b"a_thing 1.0\n")
    assert b"yardstick_requests_total" in metrics or b"# TYPE yardstick_requests counter" in metrics


class TestOurOwnRequests:
    async def test_no_live_traffic(
        self, fakes: StartFake, serving: StartGateway, listening: Listening, tmp_path: Path
    ) -> None:
        """No key, no line, no sample, no metrics of live requests; and what only the operator may set is taken."""
        file = tmp_path / "keys"
        file.write_text(key_line("a", new_key()) + "\n")
        fake = await fakes()
        async with listening.open():
            gateway = await serving([fake], beside=listening.beside, shadow=ALL, api_key_file=str(file))
            await connected(gateway, listening)
            sealed = mark(listening.beside.secret, "c-1").decode()
            body = chat(cache_salt="its-own")
            assert (await gateway.ask(post(CHAT, body, [("x-yardstick-canary", sealed)]))).status == 200
            assert gateway.gateway.tap is not None
            assert gateway.gateway.tap.live == 0
            metrics = (await gateway.ask(get("/metrics"))).body
        assert f'yardstick_shadow_requests_total{{model="{SHORT}",outcome="ok"}} 1.0'.encode() in metrics
        assert b"yardstick_requests_total{" not in metrics
        assert await gateway.log_lines() == []
        assert fake.requests[0].header(b"x-yardstick-canary") is None
        assert b'"cache_salt":' in fake.requests[0].body

    async def test_a_false_mark_is_none(
        self, fakes: StartFake, serving: StartGateway, listening: Listening, tmp_path: Path
    ) -> None:
        file = tmp_path / "keys"
        file.write_text(key_line("a", new_key()) + "\n")
        gateway = await serving([await fakes()], beside=listening.beside, shadow=ALL, api_key_file=str(file))
        sealed = mark(b"another secret", "c-1").decode()
        assert (await gateway.ask(post(CHAT, chat(), [("x-yardstick-canary", sealed)]))).status == 401

    async def test_they_are_shed_where_live_traffic_has_the_place(
        self, fakes: StartFake, serving: StartGateway, listening: Listening
    ) -> None:
        async def waits(seen: Seen) -> None:
            await seen.wire.gone()

        fake = await fakes(script=waits)
        gateway = await serving([fake], beside=listening.beside, shadow={**ALL, "shed_above": 1})
        async with gateway.client() as live:
            live.send(post(CHAT, chat()))
            await fake.arrived.wait()
            sealed = mark(listening.beside.secret, "c-1").decode()
            refused = await gateway.ask(post(CHAT, chat(), [("x-yardstick-canary", sealed)]))
        assert (refused.status, refused.error["code"]) == (503, "shed")
        metrics = (await gateway.ask(get("/metrics"))).body
        assert f'yardstick_shadow_requests_total{{model="{SHORT}",outcome="shed"}} 1.0'.encode() in metrics


async def test_counts_are_of_their_day(listening: Listening) -> None:
    now = [1_800_000_000.0]
    tap = Tap(Settings(Sampling(keyless=1.0), listening.beside.socket, "gateway-1", 50), lambda: now[0])
    async with listening.open(), asyncio.TaskGroup() as group:
        task = group.create_task(tap.keep_connected())
        await until(lambda: any(isinstance(each, Missed) for each in listening.taken))
        for sampled, dropped in ((2, 1), (3, 0)):
            tap.sampled["m"] += sampled
            tap.dropped["busy"] += dropped
            tap.tick()
            now[0] += 86_400
        await until(lambda: len(listening.taken) == 3)
        task.cancel()
    first, second = (each for each in listening.taken if isinstance(each, Counted))
    assert (first.day, first.sampled, first.dropped) == ("2027-01-15", {"m": 2}, {"busy": 1})
    assert (second.day, second.sampled, second.dropped) == ("2027-01-16", {"m": 3}, {})


async def test_more_than_is_allowed_is_not_copied(
    fakes: StartFake, serving: StartGateway, listening: Listening
) -> None:
    fake = await fakes(script=says(answer(unary("def f(): return 1"))))
    once_in_500_s = ALL | {"most_per_second": 0.002}
    async with listening.open():
        gateway = await serving([fake], beside=listening.beside, shadow=once_in_500_s)
        await connected(gateway, listening)
        tap = gateway.gateway.tap
        assert tap is not None
        for _ in range(3):
            assert (await gateway.ask(post(CHAT, chat()))).status == 200
        assert (tap.sampled.total(), dict(tap.dropped)) == (3, {"over the limit": 2})
        for _ in range(2_100):  # of a quarter of a second
            tap.tick()
        await gateway.ask(post(CHAT, chat()))
        assert len(await listening.observe(gateway, 2)) == 2
    assert dict(tap.dropped) == {"over the limit": 2}


async def test_bodies_under_way_take_so_much_and_no_more(
    fakes: StartFake, serving: StartGateway, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.shadow.tap.tap._MOST_HELD", 500)

    async def waits(seen: Seen) -> None:
        await seen.wire.gone()

    fake = await fakes(script=waits)
    async with listening.open():
        gateway = await serving([fake], beside=listening.beside, shadow=ALL)
        await connected(gateway, listening)
        tap = gateway.gateway.tap
        assert tap is not None
        async with gateway.client() as first, gateway.client() as second:
            first.send(post(CHAT, chat(content="x" * 600)))
            await until(lambda: len(fake.requests) == 1)
            second.send(post(CHAT, chat()))
            await until(lambda: len(fake.requests) == 2)
            assert dict(tap.dropped) == {"busy": 1}
        await listening.observe(gateway)  # the first client left: what it held is free again
        async with gateway.client() as third:
            third.send(post(CHAT, chat()))
            await until(lambda: len(fake.requests) == 3)
        assert len(await listening.observe(gateway, 2)) == 2
