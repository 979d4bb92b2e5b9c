"""Hostile model servers: whatever comes back, the client gets a whole answer, a 502, or a break it can see."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from gateway.upstream import LARGEST_COLLECTED
from gateway.upstream_connection import LARGEST_HEAD
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, get, post, until
from tests.fakes.server import (
    DONE,
    LAST,
    Seen,
    answer,
    chunk,
    chunked_head,
    content_frame,
    says,
    stream,
    unary,
)

CHAT = "/v1/chat/completions"
OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"content-type: application/json\r\n"
LENGTH = b"content-length: %d\r\n" % len(unary())
FLOOD = 3 * LARGEST_HEAD

NO_ANSWER = {
    "another protocol": b"220 mail ready\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status in words": b"HTTP/1.1 OK\r\n\r\n",
    "another version": b"HTTP/3.1 200 OK\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "both lengths": OK + LENGTH + b"transfer-encoding: chunked\r\n\r\n" + chunk(unary()) + LAST,
    "two lengths": OK + LENGTH + b"content-length: 3\r\n\r\n" + unary(),
    "a length below zero": OK + b"content-length: -1\r\n\r\n" + unary(),
    "a length of 30 digits": OK + b"content-length: " + b"9" * 30 + b"\r\n\r\n",
    "a length of 5,000 digits": OK + b"content-length: " + b"0" * 5000 + b"1\r\n\r\n{",
    "a folded header": OK + b"x: a\r\n b\r\n\r\n",
    "NUL in a header": OK + b"x: \0\r\n\r\n",
    "LF alone": OK.replace(b"\r", b"") + b"\n",
    "another protocol from now on": b"HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "a header without end": OK + b"x: " + b"y" * FLOOD,
    "a name without end": OK + b"y" * FLOOD,
    "headers without end": OK + b"x: y\r\n" * (FLOOD // 6),
    "a reason without end": b"HTTP/1.1 200 " + b"y" * FLOOD,
    "interim answers without end": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * (FLOOD // 30),
}


@pytest.mark.parametrize("name", NO_ANSWER)
async def test_what_is_no_answer_is_a_502(name: str, fakes: StartFake, serving: StartGateway) -> None:
    """The flooded ones never close: it is for the gateway to end them."""
    fake = await fakes(says(NO_ANSWER[name]))
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, chat()))
    assert found.status == 502
    assert found.error["code"] == "upstream_broken"
    assert len(fake.requests) == 1
    await asyncio.wait_for(fake.requests[0].wire.closed.wait(), 5)
    await gateway.quiet()


# Behind the head of an answer that is sent on, so that a break is all that can be said.
BROKEN_BODY = {
    "no chunk": b"xyz\r\n",
    "a chunk of 2^64": b"10000000000000000\r\n",
    "a chunk below zero": b"-1\r\n",
    "a chunk longer than it says": b"1\r\nabc\r\n",
    "an extension without end": b"1;" + b"x" * FLOOD,
    "trailers without end": b"0\r\n" + b"x: y\r\n" * (FLOOD // 6),
    "a trailer without end": b"0\r\nx: " + b"y" * FLOOD,
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", BROKEN_BODY)
async def test_a_broken_body_can_be_seen(name: str, streamed: bool, fakes: StartFake, serving: StartGateway) -> None:
    kind = "text/event-stream" if streamed else "application/json"
    fake = await fakes(says(chunked_head(kind), chunk(content_frame("a")), BROKEN_BODY[name]))
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, chat(stream=streamed)))
    assert found.status == 200
    if streamed:
        event = found.body.removeprefix(content_frame("a"))
        assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == "upstream_broken"
        assert b"[DONE]" not in found.body
    else:
        assert not found.whole
    await asyncio.wait_for(fake.requests[0].wire.closed.wait(), 5)
    await gateway.quiet()


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (answer(unary("one")) + answer(unary("two")), unary("one")),
        (chunked_head("application/json") + chunk(unary("one")) + LAST + answer(unary("two")), unary("one")),
        (b"".join(stream([DONE])) + b"".join(stream([content_frame("two")])), DONE),
        (answer(unary("one")) + b"HTTP/1.1 100 Continue\r\n\r\n" + answer(unary("two")), unary("one")),
        (answer(unary("one")) + unary("two"), unary("one")),
        (OK + JSON + LENGTH + b"\r\n" + unary() + b"more", unary()),
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_a_second_answer_reaches_nobody(
    sent: bytes, body: bytes, together: bool, fakes: StartFake, serving: StartGateway
) -> None:
    """Not this client, and not the next one: the connection is not used again."""
    half = len(sent) // 2
    fake = await fakes(says(*((sent,) if together else (sent[:half], sent[half:]))))
    gateway = await serving([fake])
    for _ in range(2):
        found = await gateway.ask(post(CHAT, chat()))
        assert found.whole
        assert found.body == body
        await gateway.quiet()
    assert fake.requests[0].wire is not fake.requests[1].wire


async def test_an_answer_to_no_request_reaches_nobody(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    assert (await gateway.ask(post(CHAT, chat()))).body == unary()
    await gateway.quiet()
    await fake.requests[0].wire.send(answer(unary("for nobody")))
    await asyncio.wait_for(fake.requests[0].wire.closed.wait(), 5)
    assert (await gateway.ask(post(CHAT, chat()))).body == unary()


async def test_a_length_that_is_too_long_is_no_whole_answer(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(says(OK + JSON + b"content-length: 9999\r\n\r\n" + unary(), then="close"))
    gateway = await serving([fake])
    assert not (await gateway.ask(post(CHAT, chat()))).whole
    await gateway.quiet()


async def test_a_stream_that_never_ends_a_frame_is_given_up(fakes: StartFake, serving: StartGateway) -> None:
    """17 MB without a blank line: more than the relay holds back."""
    piece = chunk(b"data: " + b"x" * 1_000_000)
    fake = await fakes(says(chunked_head(), *[piece] * 18))
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, chat(stream=True)))
    assert json.loads(found.body.removeprefix(b"data: "))["error"]["code"] == "upstream_broken"
    await gateway.quiet()


async def test_a_large_answer_is_never_held_whole(fakes: StartFake, serving: StartGateway) -> None:
    """30 MB, to a client that does not read: the gateway holds its buffer's worth, and the server waits."""
    fake = await fakes(says(answer(b" " * 30_000_000)))
    gateway = await serving([fake])
    async with gateway.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(post(CHAT, chat()))
        await until(lambda: any(connection.paused for connection in gateway.gateway.connections))
        (connection,) = gateway.gateway.connections
        assert connection.unsent() < 4 * gateway.gateway.limits.stream_buffer_bytes
        client.drop()
    await gateway.quiet()


async def test_an_error_of_any_length_is_one_that_can_be_read(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(says(answer(b"x" * 3_000_000, 500, "text/html")))
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, chat()))
    assert (found.status, found.error["code"]) == (502, "upstream_error")
    assert len(found.body) < 3000


# -- clients that leave while the model server is at fault --------------------------------------------------------


async def test_an_error_without_end_is_not_collected(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(says(answer(b"x" * (LARGEST_COLLECTED + 1), 400)))
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, chat()))
    assert (found.status, found.error["code"]) == (502, "upstream_broken")
    await gateway.quiet()


async def test_leaving_while_paused_by_a_slow_reader(fakes: StartFake, serving: StartGateway) -> None:
    async def script(seen: Seen) -> None:
        await says(chunked_head(), *[chunk(content_frame("x" * 100_000))] * 300)(seen)

    fake = await fakes(script)
    gateway = await serving([fake])
    async with gateway.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(post(CHAT, chat(stream=True)))
        await until(lambda: any(connection.paused for connection in gateway.gateway.connections))
        client.drop()
        await gateway.quiet()
        await until(lambda: not gateway.gateway.connections)
    await asyncio.wait_for(fake.requests[0].wire.closed.wait(), 5)
    assert (await gateway.ask(get("/health/live"))).status == 200


async def test_leaving_while_the_gateway_connects(fakes: StartFake, serving: StartGateway) -> None:
    """To a listener whose queue is full, so that no handshake ends."""
    fake = await fakes()
    gateway = await serving([fake], timeouts={"connect": 60})
    for endpoint in gateway.endpoints():
        for connection in endpoint.idle:
            connection.close()
    await fake.stop()
    full = socket.socket()
    full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    full.bind(("127.0.0.1", fake.port))
    full.listen(0)
    waiting = [socket.socket() for _ in range(8)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", fake.port))
    async with gateway.client() as client:
        client.send(post(CHAT, chat()))
        await until(lambda: any(connection._task for connection in gateway.gateway.connections))
        (connection,) = gateway.gateway.connections
        task = connection._task
        client.drop()
        await until(lambda: task.done())  # type: ignore[union-attr]
    await gateway.quiet()
    assert json.loads((await gateway.log_lines())[-1])["outcome"] == "cancelled"
    for one in [full, *waiting]:
        one.close()


async def test_what_slow_readers_hold_together_is_cut_off_by_name(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(says(*stream([content_frame("x" * 60_000)] * 400)))
    gateway = await serving([fake], limits={"stream_buffer_bytes": 400_000, "total_buffer_bytes": 300_000})
    async with gateway.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(post(CHAT, chat(stream=True)))
        await until(lambda: not gateway.gateway.connections)
    await gateway.quiet()
    line = json.loads((await gateway.log_lines())[-1])
    assert (line["outcome"], line["code"]) == ("cancelled", "buffer_limit")
