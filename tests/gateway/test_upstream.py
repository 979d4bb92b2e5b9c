"""The model server's side of the wire: which connections are kept, what is tried again, what is never."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, post, until
from tests.fakes.server import (
    DONE,
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

CHAT = "/v1/chat/completions"
LATE = b"x-late: 1\r\n"


@pytest.mark.parametrize(
    ("pieces", "then", "kept"),
    [
        ((answer(unary()),), "", True),
        (stream([DONE]), "", True),
        ((answer(unary(), extra=b"connection: close\r\n"),), "", False),
        ((answer(unary(), extra=b"connection: x, Close\r\n"),), "", False),
        ((answer(unary()) + b"HTTP/1.1 200 OK\r\n",), "", False),
        ((answer(unary()) + b"surplus",), "", False),
        ((answer(unary()).replace(b"HTTP/1.1", b"HTTP/1.0"),), "", False),
        ((b"HTTP/1.1 200 OK\r\n\r\n" + unary(),), "close", False),
        ((b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", answer(unary())), "", True),
        ((answer(b'{"error":{"message":"m","type":"t","param":null,"code":1}}', 400),), "", True),
    ],
)
async def test_which_connections_are_kept(
    pieces: tuple[bytes, ...], then: str, kept: bool, fakes: StartFake, serving: StartGateway
) -> None:
    fake = await fakes(says(*pieces, then=then))
    gateway = await serving([fake])
    for _ in range(2):
        found = await gateway.ask(post(CHAT, chat()))
        assert found.status in (200, 400)
        assert found.whole
        assert b"link" not in found.names
        await gateway.quiet()
    assert (fake.requests[0].wire is fake.requests[1].wire) == kept


async def test_trailers_are_dropped(fakes: StartFake, serving: StartGateway) -> None:
    whole = chunked_head("application/json") + chunk(unary()) + b"0\r\n" + LATE + b"\r\n"
    for pieces in ((whole,), (whole[:200], whole[200:])):
        gateway = await serving([await fakes(says(*pieces))])
        found = await gateway.ask(post(CHAT, chat()))
        assert found.body == unary()
        assert b"x-late" not in found.raw


@pytest.mark.parametrize(
    "nonsense",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"\x00" * 50,
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 101 S\r\n\r\n",
    ],
)
async def test_nonsense_is_a_502(nonsense: bytes, fakes: StartFake, serving: StartGateway) -> None:
    fake, other = await fakes(says(nonsense, then="close")), await fakes(says(nonsense, then="close"))
    gateway = await serving([fake, other])
    found = await gateway.ask(post(CHAT, chat()))
    assert found.status == 502
    assert found.error["code"] == "upstream_broken"
    assert len(fake.requests) + len(other.requests) == 1
    await gateway.quiet()


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_fresh_connection_that_ends_without_a_byte_is_not_tried_again(
    then: str, fakes: StartFake, serving: StartGateway
) -> None:
    first, second = await fakes(says(then=then)), await fakes(says(then=then))
    gateway = await serving([first, second])
    # Discovery's own connections are kept: these must not be the ones used.
    for endpoint in gateway.endpoints():
        for connection in endpoint.idle:
            connection.close()
    found = await gateway.ask(post(CHAT, chat()))
    assert found.status == 502
    assert len(first.requests) + len(second.requests) == 1


async def test_a_stale_connection_is_tried_once_more(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()

    async def script(seen: Seen) -> None:
        if len(fake.requests) == 2:
            seen.wire.close()
        else:
            await seen.wire.send(answer(unary()))

    fake.script = script
    gateway = await serving([fake])
    for _ in range(2):
        assert (await gateway.ask(post(CHAT, chat()))).body == unary()
        await gateway.quiet()
    assert len(fake.requests) == 3
    assert fake.requests[1].body == fake.requests[2].body
    assert fake.requests[1].wire is not fake.requests[2].wire


async def test_a_used_connection_that_ends_after_a_long_wait_is_not_tried_again(
    fakes: StartFake, serving: StartGateway
) -> None:
    go = asyncio.Event()
    fake = await fakes()

    async def script(seen: Seen) -> None:
        if len(fake.requests) == 2:
            await go.wait()
            seen.wire.close()
        else:
            await seen.wire.send(answer(unary()))

    fake.script = script
    gateway = await serving([fake])
    assert (await gateway.ask(post(CHAT, chat()))).status == 200
    await gateway.quiet()
    async with gateway.client() as client:
        client.send(post(CHAT, chat()))
        await until(lambda: len(fake.requests) == 2)
        (connection,) = gateway.gateway.connections
        watcher = connection._exchange.watcher  # type: ignore[union-attr]
        watcher._connection.since -= 2  # type: ignore[union-attr]
        go.set()
        assert (await client.answer()).status == 502
    assert len(fake.requests) == 2


async def test_a_refused_connection_goes_to_another_endpoint(fakes: StartFake, serving: StartGateway) -> None:
    busy, down = await fakes(silence), await fakes()
    gateway = await serving([busy, down])
    port = down.port
    await down.stop()
    for endpoint in gateway.endpoints():
        if endpoint.port != port:
            endpoint.load += 1_000_000  # the one that refuses looks least loaded each time
    busy.script = says(answer(unary()))
    for _ in range(4):
        found = await gateway.ask(post(CHAT, chat()))
        assert found.status == 200
    for endpoint in gateway.endpoints():
        if endpoint.port != port:
            endpoint.load -= 1_000_000


async def test_nobody_there_is_a_503(fakes: StartFake, serving: StartGateway) -> None:
    one, two = await fakes(), await fakes()
    gateway = await serving([one, two])
    await one.stop()
    await two.stop()
    found = await gateway.ask(post(CHAT, chat()))
    assert found.status == 503
    assert found.header(b"retry-after")
    assert found.error["type"] == "service_unavailable_error"
    for endpoint in gateway.endpoints():
        endpoint.up = False
    found = await gateway.ask(post(CHAT, chat()))
    assert (found.status, found.error["code"]) == (503, "no_endpoint_up")
    assert found.header(b"retry-after")


async def test_nothing_is_tried_again_after_the_first_byte(fakes: StartFake, serving: StartGateway) -> None:
    for pieces in ((b"H",), (b"HTTP/1.1 200",), (answer(unary())[:-3],), (chunked_head(), chunk(content_frame("a")))):
        fake, other = await fakes(says(*pieces, then="close")), await fakes(says(*pieces, then="close"))
        gateway = await serving([fake, other])
        async with gateway.client() as client:
            client.send(post(CHAT, chat()))
            await client.read()
        assert len(fake.requests) + len(other.requests) == 1
        await gateway.quiet()


@pytest.mark.parametrize("phase", ["head", "stream", "unary"])
async def test_leaving_reaches_the_model_server(phase: str, fakes: StartFake, serving: StartGateway) -> None:
    begun = {"head": (), "stream": (chunked_head(), chunk(content_frame("a"))), "unary": (answer(unary())[:-5],)}

    async def script(seen: Seen) -> None:
        await seen.wire.send(*begun[phase])
        await seen.wire.gone()

    fake = await fakes(script)
    gateway = await serving([fake])
    async with gateway.client() as client:
        client.send(post(CHAT, chat(stream=phase == "stream")))
        await fake.arrived.wait()
        if phase != "head":
            await client.head()
        client.drop()
        await asyncio.wait_for(fake.requests[0].wire.closed.wait(), 5)
    await gateway.quiet()
    await until(lambda: not gateway.gateway.connections)
    (line,) = await gateway.log_lines()
    assert json.loads(line)["outcome"] == "cancelled"


async def test_an_early_answer_during_the_upload_is_read_and_the_connection_closed(
    fakes: StartFake, serving: StartGateway
) -> None:
    """A model server that answers from the head alone, and reads no body of 4 MB."""
    wires = []

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        wires.append(writer)
        if head.startswith(b"GET"):
            writer.write(answer(b'{"data":[{"id":"codegeex4-all-9b","max_model_len":32768}]}'))
            return
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(answer(unary()))

    fake = await fakes()
    gateway = await serving([fake])
    await fake.stop()
    server = await asyncio.start_server(early, "127.0.0.1", fake.port, limit=1000)
    body = chat("codegeex4-all-9b", padding="x" * 4_000_000)
    found = await gateway.ask(post(CHAT, body))
    assert found.body == unary()
    assert not any(endpoint.idle for endpoint in gateway.endpoints())
    await gateway.quiet()
    for writer in wires:
        writer.transport.abort()
    server.close()
