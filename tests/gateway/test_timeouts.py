"""Every wait has an end, each with its own code. Time is passed by hand: nothing here sleeps."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from gateway.config import TimeoutSettings
from gateway.downstream import Connection
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, get, post, until
from tests.fakes.gateway import RunningGateway
from tests.fakes.server import (
    DONE,
    LAST,
    Seen,
    answer,
    chunk,
    chunked_head,
    content_frame,
    says,
    silence,
    stream,
    unary,
)
from tests.fakes.transport import Recorded, ServerParts

CHAT = "/v1/chat/completions"


async def last_line(gateway: RunningGateway) -> Any:
    return json.loads((await gateway.log_lines())[-1])


async def until_phase(gateway: RunningGateway, phase: str) -> None:
    await until(lambda: any(connection._phase == phase for connection in gateway.gateway.connections))


async def test_a_header_that_comes_byte_by_byte(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], timeouts={"header": 5})
    async with gateway.client() as client:
        for byte in b"POST / HTTP/1.1\r\nx: y":
            client.send(bytes([byte]))
            await until_phase(gateway, "header")
        gateway.pass_time(4)
        client.send(b"z")
        gateway.pass_time(6)
        found = await client.answer()
        assert found.status == 408
        assert found.error["code"] == "header_timeout"
        assert found.header(b"connection") == b"close"
        assert await client.closed()


async def test_a_body_that_stops(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], timeouts={"body_idle": 5})
    async with gateway.client() as client:
        client.send(post(CHAT, chat())[:-5])
        await until_phase(gateway, "body")
        gateway.pass_time(4)
        gateway.pass_time(6)
        found = await client.answer()
        assert found.status == 408
        assert found.error["code"] == "body_timeout"
        assert await client.closed()


async def test_an_idle_connection_is_closed(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], timeouts={"keep_alive": 5})
    async with gateway.client() as client, gateway.client() as fresh:
        assert (await client.ask(get("/health/live"))).status == 200
        await until(lambda: len(gateway.gateway.connections) == 2)
        gateway.pass_time(4)
        gateway.pass_time(6)
        assert await client.closed()
        assert await fresh.closed()


async def test_a_refused_client_that_stays_is_dropped(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    async with gateway.client() as client:
        assert (await client.ask(b"nonsense\r\n\r\n")).status == 400
        gateway.pass_time(1)
        assert gateway.gateway.connections
        gateway.pass_time(3)
        await until(lambda: not gateway.gateway.connections)


async def test_no_connection_in_time(fakes: StartFake, serving: StartGateway) -> None:
    """A listener whose queue is full answers no handshake."""
    fake = await fakes()
    gateway = await serving([fake], timeouts={"connect": 0.05})
    await fake.stop()
    full = socket.socket()
    full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    full.bind(("127.0.0.1", fake.port))
    full.listen(0)
    waiting = []
    for _ in range(8):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", fake.port))
        waiting.append(one)
    found = await gateway.ask(post(CHAT, chat()))
    assert found.status == 503
    assert found.error["code"] == "endpoint_unreachable"
    assert "no connection within 0.05 s" in found.error["message"]
    for one in [full, *waiting]:
        one.close()


def first_byte(seconds: float) -> dict[str, float]:
    """That long, whatever the lengths of prompt and answer."""
    return {"first_byte": seconds, "first_byte_per_1k_tokens": 0, "first_byte_per_1k_output_tokens": 0}


async def test_no_first_byte_in_time(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(silence)
    gateway = await serving([fake, await fakes(silence)], timeouts=first_byte(10))
    async with gateway.client() as client:
        client.send(post(CHAT, chat()))
        await until(lambda: gateway.in_flight() == 1)
        await asyncio.wait_for(_any_arrived(gateway), 5)
        gateway.pass_time(9)
        gateway.pass_time(11)
        found = await client.answer()
        assert found.status == 504
        assert found.error["code"] == "first_byte_timeout"
        assert found.error["type"] == "timeout_error"
    await gateway.quiet()
    assert (await last_line(gateway))["code"] == "first_byte_timeout"


async def _any_arrived(gateway: RunningGateway) -> None:
    await until(lambda: any(connection._exchange is not None for connection in gateway.gateway.connections))


async def test_a_longer_prompt_is_given_more_time(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(silence)
    gateway = await serving([fake], timeouts={**first_byte(10), "first_byte_per_1k_tokens": 10})
    async with gateway.client() as client:
        client.send(post(CHAT, chat("codegeex4-all-9b", "x" * 3000)))
        await fake.arrived.wait()
        gateway.pass_time(30)  # 3,000 bytes are at most as many tokens: 10 s and 3 x 10 s
        assert gateway.in_flight() == 1
        gateway.pass_time(50)
        assert (await client.answer()).error["code"] == "first_byte_timeout"


@pytest.mark.parametrize(("limit", "seconds"), [({"max_tokens": 500}, 40), ({}, 10 + 60 * 32.768)])
async def test_an_answer_that_is_not_streamed_is_given_the_time_of_its_tokens(
    limit: dict[str, int], seconds: float, fakes: StartFake, serving: StartGateway
) -> None:
    """It comes at once, after its last token; without a limit of its own the window is one."""
    fake = await fakes(silence)
    gateway = await serving([fake], timeouts={"first_byte": 10, "first_byte_per_1k_tokens": 0, "total": 10_000})
    async with gateway.client() as client:
        client.send(post(CHAT, chat("codegeex4-all-9b", **limit)))
        await fake.arrived.wait()
        gateway.pass_time(seconds - 10)
        assert gateway.in_flight() == 1
        gateway.pass_time(seconds + 1)
        assert (await client.answer()).error["code"] == "first_byte_timeout"


async def test_a_stream_whose_head_has_come_is_given_the_time_of_its_prefill(
    fakes: StartFake, serving: StartGateway
) -> None:
    """vLLM sends the head at once and the first chunk after the prefill; comments in between are no chunk."""
    fake = await fakes(says(chunked_head(), chunk(b": here\n\n")))
    timeouts = {"first_byte": 10, "first_byte_per_1k_tokens": 10, "between_chunks": 5, "stream_keep_alive": 1000}
    gateway = await serving([fake], timeouts=timeouts)
    async with gateway.client() as client:
        client.send(post(CHAT, chat("codegeex4-all-9b", "x" * 3000, stream=True)))
        await client.head()
        assert await client.frame() == b": here\n\n"
        gateway.pass_time(30)  # 3,000 bytes are at most as many tokens: 10 s and 3 x 10 s
        assert gateway.in_flight() == 1
        gateway.pass_time(50)
        assert json.loads((await client.frame())[6:])["error"]["code"] == "first_byte_timeout"
    await gateway.quiet()
    line = await last_line(gateway)
    assert (line["code"], line.get("first_chunk_ms")) == ("first_byte_timeout", None)


@pytest.mark.parametrize("streamed", [False, True])
async def test_silence_within_an_answer(streamed: bool, fakes: StartFake, serving: StartGateway) -> None:
    async def script(seen: Seen) -> None:
        if streamed:
            await seen.wire.send(chunked_head(), chunk(content_frame("a") + b"data: half"))
        else:
            await seen.wire.send(answer(unary())[:-5])
        await seen.wire.gone()

    fake = await fakes(script)
    gateway = await serving([fake], timeouts={"between_chunks": 10, "stream_keep_alive": 100})
    async with gateway.client() as client:
        client.send(post(CHAT, chat(stream=streamed)))
        await client.head()
        if streamed:
            assert await client.frame() == content_frame("a")
        gateway.pass_time(9)
        assert gateway.in_flight() == 1
        gateway.pass_time(11)
        if streamed:
            event = await client.frame()
            assert event.startswith(b'data: {"error"')
            assert json.loads(event[6:])["error"]["code"] == "chunk_timeout"
            assert await client.reader.read() == b"0\r\n\r\n"
        else:
            await until(lambda: not gateway.gateway.connections)
        await asyncio.wait_for(fake.requests[0].wire.closed.wait(), 5)
    await gateway.quiet()
    assert (await last_line(gateway))["code"] == "chunk_timeout"


async def test_the_whole_answer_has_a_limit(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(says(chunked_head(), chunk(content_frame("a"))))
    gateway = await serving([fake], timeouts={"total": 1000, "between_chunks": 5000, "stream_keep_alive": 5000})
    async with gateway.client() as client:
        client.send(post(CHAT, chat(stream=True)))
        await client.head()
        await client.frame()
        gateway.pass_time(999)
        gateway.pass_time(1001)
        assert json.loads((await client.frame())[6:])["error"]["code"] == "total_timeout"
    await gateway.quiet()


async def test_a_client_that_reads_nothing_is_dropped(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(says(answer(unary("x" * 20_000_000))))
    gateway = await serving([fake], timeouts={"write_stall": 10})
    async with gateway.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(post(CHAT, chat()))
        await until(lambda: any(connection.paused for connection in gateway.gateway.connections))
        gateway.pass_time(9)
        assert gateway.gateway.connections
        gateway.pass_time(11)
        await until(lambda: not gateway.gateway.connections)
    await gateway.quiet()


async def test_a_stalled_stream_is_logged_as_such(fakes: StartFake, serving: StartGateway) -> None:
    frames = [content_frame("x" * 100_000)] * 200
    fake = await fakes(says(*stream(frames)))
    gateway = await serving([fake], timeouts={"write_stall": 10, "between_chunks": 5})
    async with gateway.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(post(CHAT, chat(stream=True)))
        await until(lambda: any(connection.paused for connection in gateway.gateway.connections))
        gateway.pass_time(11)
        await until(lambda: not gateway.gateway.connections)
    await gateway.quiet()
    line = await last_line(gateway)
    assert (line["outcome"], line["code"]) == ("cancelled", "write_stall")


async def test_a_client_that_reads_slowly_is_not_dropped() -> None:
    parts, client = ServerParts(), Recorded()
    parts.timeouts = TimeoutSettings(keep_alive=10_000)
    connection = Connection(parts)
    connection.connection_made(client)
    now, client.unsent = parts.clock.now, 1000
    connection.pause_writing()
    for _ in range(10):
        now += parts.timeouts.write_stall - 1
        client.unsent -= 1
        connection.tick(now)
        assert not client.ended
    connection.tick(now + parts.timeouts.write_stall + 1)
    assert client.ended == "abort"


# -- comments that keep a stream alive ----------------------------------------------------------------------------


async def test_comments_come_only_between_frames_and_after_the_head(fakes: StartFake, serving: StartGateway) -> None:
    steps = [asyncio.Event() for _ in range(4)]

    async def script(seen: Seen) -> None:
        await steps[0].wait()
        await seen.wire.send(chunked_head())
        await steps[1].wait()
        await seen.wire.send(chunk(content_frame("a") + content_frame("b")[:20]))
        await steps[2].wait()
        await seen.wire.send(chunk(content_frame("b")[20:] + DONE), LAST)

    fake = await fakes(script)
    gateway = await serving([fake], timeouts={"stream_keep_alive": 10})
    async with gateway.client() as client:
        client.send(post(CHAT, chat(stream=True)))
        await fake.arrived.wait()
        gateway.pass_time(11)  # no status is known yet
        steps[0].set()
        assert b"200 OK" in await client.head()
        gateway.pass_time(9)
        gateway.pass_time(11)
        assert await client.frame() == b": keep-alive\n\n"
        gateway.pass_time(15)  # the last comment was 4 s before
        steps[1].set()
        assert await client.frame() == content_frame("a")
        gateway.pass_time(30)
        assert await client.frame() == b": keep-alive\n\n"
        steps[2].set()
        assert await client.frame() == content_frame("b") + DONE
        assert await client.reader.readexactly(5) == LAST
    await gateway.quiet()


async def test_other_answers_get_no_comments(fakes: StartFake, serving: StartGateway) -> None:
    go = asyncio.Event()

    async def script(seen: Seen) -> None:
        await seen.wire.send(answer(unary())[:-5])
        await go.wait()
        await seen.wire.send(answer(unary())[-5:])

    fake = await fakes(script)
    gateway = await serving([fake], timeouts={"stream_keep_alive": 10})
    async with gateway.client() as client:
        client.send(post(CHAT, chat()))
        head = await client.head()
        gateway.pass_time(11)
        go.set()
        assert await client.reader.readexactly(len(unary())) == unary()
        assert b"content-length: %d" % len(unary()) in head


# -- the real clock -----------------------------------------------------------------------------------------------


async def test_the_gateways_own_tick_ends_what_waits(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(silence)
    gateway = await serving([fake], timeouts=first_byte(0.01))
    found = await gateway.ask(post(CHAT, chat()))
    assert found.error["code"] == "first_byte_timeout"
