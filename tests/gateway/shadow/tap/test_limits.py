"""What is too much for the tap is dropped and counted under its reason; the client gets its whole answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.relay import LONGEST_COPY
from gateway.shadow.tap import Beside
from gateway.shadow.tap.tap import Tap
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, post, until
from tests.fakes.gateway import RunningGateway
from tests.fakes.http import Message
from tests.fakes.server import DONE, Seen, answer, content_frame, says, stream, unary
from tests.gateway.shadow.tap.test_tap import ALL, CHAT, Listening, connected, listening

__all__ = ["listening"]

LARGE = 200_000
MANY = 20
"""Large answers: some ten times what the sockets' own buffers hold."""


@contextlib.asynccontextmanager
async def never_reads(path: Path) -> AsyncIterator[asyncio.Task[socket.socket]]:
    """A process beside that accepts, and then is stuck."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.setblocking(False)

        async def accept() -> socket.socket:
            peer, _ = await asyncio.get_running_loop().sock_accept(server)
            return peer

        accepted = asyncio.create_task(accept())
        try:
            yield accepted
        finally:
            (await accepted).close()


def tap_of(gateway: RunningGateway) -> Tap:
    assert gateway.gateway.tap is not None
    return gateway.gateway.tap


async def ask(gateway: RunningGateway, content: str = "hello", *, streams: bool = False) -> Message:
    message = await gateway.ask(post(CHAT, chat(content=content, stream=streams)))
    assert message.status == 200
    await gateway.quiet()
    return message


async def test_who_accepts_and_never_reads_costs_so_much_and_no_more(
    fakes: StartFake, serving: StartGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.shadow.tap.tap._MOST_UNSENT", LARGE)
    beside = Beside(tmp_path / "tap", b"sealed with this")
    large = unary("x" * LARGE)
    fake = await fakes(script=says(answer(large)))
    async with never_reads(beside.socket) as accepted:
        gateway = await serving([fake], beside=beside, shadow=ALL)
        await until(accepted.done)
        for _ in range(MANY):
            assert (await ask(gateway)).body == large
        tap = tap_of(gateway)
        assert tap.sampled.total() == MANY
        assert set(tap.dropped) == {"busy"}
        assert MANY / 2 < tap.dropped["busy"] < MANY


async def test_a_body_that_is_too_long_is_answered_and_not_copied(
    fakes: StartFake, serving: StartGateway, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = len(chat(content="x" * 500, stream=False))
    monkeypatch.setattr("gateway.shadow.tap.tap.LONGEST_BODY", longest)
    fake = await fakes()
    async with listening.open():
        gateway = await serving([fake], beside=listening.beside, shadow=ALL)
        await connected(gateway, listening)
        assert (await ask(gateway, "x" * 501)).body == unary()
        assert dict(tap_of(gateway).dropped) == {"too long": 1}
        await ask(gateway, "x" * 500)
        (seen,) = await listening.observe(gateway)
    assert len(seen.body) == longest
    assert dict(tap_of(gateway).dropped) == {"too long": 1}


@pytest.mark.parametrize("streams", [False, True])
async def test_an_answer_that_is_too_long_is_the_clients_and_not_copied(
    fakes: StartFake, serving: StartGateway, listening: Listening, streams: bool
) -> None:
    frames = [*[content_frame("x" * 128 * 1024)] * 8, DONE]
    too_long = b"".join(frames) if streams else unary("x" * LONGEST_COPY)

    async def one_is_too_long(seen: Seen) -> None:
        if b"too long" not in seen.body:
            await seen.wire.send(answer(unary()))
        elif streams:
            await seen.wire.send(*stream(frames))
        else:
            await seen.wire.send(answer(too_long))

    fake = await fakes(script=one_is_too_long)
    async with listening.open():
        gateway = await serving([fake], beside=listening.beside, shadow=ALL)
        await connected(gateway, listening)
        assert (await ask(gateway, "too long", streams=streams)).body == too_long
        assert dict(tap_of(gateway).dropped) == {"too long": 1}
        await ask(gateway)
        (seen,) = await listening.observe(gateway)
    assert seen.answer == unary()
