"""The client's side of the wire: what is read, refused, queued, and when a connection ends."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, get, post, until
from tests.fakes.server import Seen, answer, says, silence, stream, unary

CHAT = "/v1/chat/completions"


async def test_a_huge_header_line_is_a_431(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], limits={"header_bytes": 8192})
    for name, value in (("x-a", "y" * 9000), ("y" * 9000, "a"), ("x-a", "y" * 200_000)):
        found = await gateway.ask(post(CHAT, chat(), [(name, value)]))
        assert found.status == 431
        assert found.error["code"] == "header_too_large"
        assert found.header(b"connection") == b"close"


async def test_many_headers_are_a_431(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], limits={"header_bytes": 8192})
    found = await gateway.ask(post(CHAT, chat(), [(f"x-{number}", "y" * 20) for number in range(1000)]))
    assert found.status == 431


async def test_a_huge_target_is_a_431(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], limits={"header_bytes": 8192})
    assert (await gateway.ask(get("/v1/models?" + "x" * 9000))).status == 431


async def test_a_header_without_end_is_a_431(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], limits={"header_bytes": 8192})
    async with gateway.client() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nx: " + b"y" * 10_000)
        assert (await client.answer()).status == 431
        assert await client.closed()


async def test_a_header_within_the_limit_passes(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], limits={"header_bytes": 8192})
    found = await gateway.ask(post(CHAT, chat(content="z" * 100_000), [("x-a", "y" * 7000)]))
    assert found.status == 200


async def test_a_body_that_is_announced_too_large_is_a_413(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], limits={"body_bytes": 1000})
    async with gateway.client() as client:
        client.send(post(CHAT, b"x" * 1001)[:-900])
        found = await client.answer()
        assert found.status == 413
        assert found.error["code"] == "request_too_large"
        assert found.header(b"connection") == b"close"
        assert await client.closed()


async def test_a_413_is_read_by_a_client_that_is_still_sending(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], limits={"body_bytes": 1000})
    async with gateway.client() as client:
        client.send(b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n" % CHAT.encode())
        client.send(b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(200):
            client.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        found = await client.answer()
        assert found.status == 413
        for _ in range(200):
            client.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        assert await client.closed()


async def test_a_body_just_within_the_limit_passes(fakes: StartFake, serving: StartGateway) -> None:
    body = chat(content="x" * 500)
    gateway = await serving([await fakes()], limits={"body_bytes": len(body)})
    assert (await gateway.ask(post(CHAT, body))).status == 200
    assert (await gateway.ask(post(CHAT, body + b" "))).status == 413


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data; boundary=x"]
)
async def test_what_is_not_json_is_a_415(kind: str, fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    found = await gateway.ask(post(CHAT, chat()).replace(b"application/json", kind.encode()))
    assert found.status == 415
    assert found.error["code"] == "unsupported_media_type"


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;x=y"])
async def test_ways_to_say_json(kind: str, fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    assert (await gateway.ask(post(CHAT, chat()).replace(b"application/json", kind.encode()))).status == 200


async def test_other_methods_are_a_405_that_says_which_is_allowed(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        found = await gateway.ask(get(CHAT, method=method))
        assert found.status == 405
        assert found.header(b"allow") == b"POST"


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nx-a : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nx-a: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\nhost: a\n\n",
        b"POST / HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nab",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\nab",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_400(data: bytes, fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    async with gateway.client() as client:
        found = await client.ask(data)
        assert found.status == 400
        assert found.error["code"] == "invalid_http"
        assert found.header(b"connection") == b"close"
        assert await client.closed()


async def test_connect_is_refused(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    async with gateway.client() as client:
        found = await client.ask(b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nhost: a\r\n\r\n")
        assert 400 <= found.status < 500
        assert found.error
        assert await client.closed()


# -- Expect, Upgrade, HTTP/1.0 ------------------------------------------------------------------------------------


async def test_expect_is_answered_after_the_checks(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], limits={"body_bytes": 1000})
    body = chat()
    request = post(CHAT, body, [("expect", "100-Continue")])
    async with gateway.client() as client:
        client.send(request[: -len(body)])
        assert (await client.answer()).status == 100
        client.send(body)
        assert (await client.answer()).status == 200
        client.send(request)
        assert (await client.answer()).status == 100
        assert (await client.answer()).status == 200
    for wrong, status in (
        (post(CHAT, b"x" * 2000, [("expect", "100-continue")])[:-2000], 413),
        (request.replace(b"application/json", b"text/plain")[: -len(body)], 415),
        (request.replace(b"POST", b"PUT")[: -len(body)], 405),
    ):
        async with gateway.client() as client:
            client.send(wrong)
            assert (await client.answer()).status == status
            assert await client.closed()


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_offered_upgrade_is_ignored(chunked: bool, fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    offer = [
        ("upgrade", "h2c"),
        ("connection", "Upgrade, HTTP2-Settings"),
        ("http2-settings", "AAEAAEAAAAIAAAAAAAMAAAAA"),
    ]
    body = chat(content="with a body")
    if chunked:
        request = post(CHAT, b"", [*offer, ("transfer-encoding", "chunked")], length=False)
        request += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        request = post(CHAT, body, offer)
    async with gateway.client() as client:
        for byte in request:
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.answer()).status == 200
    async with gateway.client() as client:
        found = await client.ask(request + get("/health/live"))
        assert found.status == 200, found.raw
        assert (await client.answer()).json == {"status": "live"}
    assert all(json.loads(seen.body)["messages"][0]["content"] == "with a body" for seen in fake.requests)
    for seen in fake.requests:
        assert not {b"upgrade", b"connection", b"http2-settings"} & set(seen.message.names)
    found = await gateway.ask(get("/health/live", [("upgrade", "websocket"), ("connection", "upgrade")]))
    assert found.status == 200


async def test_http10_gets_no_chunks_and_an_end(fakes: StartFake, serving: StartGateway) -> None:
    frames = [b"data: 1\n\n", b"data: [DONE]\n\n"]
    gateway = await serving([await fakes(says(*stream(frames)))])
    async with gateway.client() as client:
        found = await client.ask(post(CHAT, chat(stream=True), version="1.0"))
        assert found.header(b"transfer-encoding") is None
        assert found.header(b"connection") == b"close"
        assert found.body == b"".join(frames)


async def test_http10_may_keep_its_connection(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    async with gateway.client() as client:
        for _ in range(2):
            found = await client.ask(post(CHAT, chat(), [("connection", "keep-alive")], version="1.0"))
            assert found.header(b"connection") == b"keep-alive"
            assert found.body == unary()
        found = await client.ask(post(CHAT, chat(), version="1.0"))
        assert found.body == unary()
        assert await client.closed()


async def test_connection_close_is_honoured(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    async with gateway.client() as client:
        found = await client.ask(post(CHAT, chat(), [("connection", "close")]))
        assert found.header(b"connection") == b"close"
        assert await client.closed()


async def test_a_chunked_request_body_is_read(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    body = chat()
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (1, bytes([byte])) for byte in body) + b"0\r\nx-trailer: y\r\n\r\n"
    head = post(CHAT, b"", [("transfer-encoding", "chunked"), ("trailer", "x-trailer")], length=False)
    async with gateway.client() as client:
        assert (await client.ask(head + chunks)).status == 200
        assert (await client.ask(head + chunks)).status == 200
    for seen in fake.requests:
        assert json.loads(seen.body)["messages"] == json.loads(body)["messages"]
        assert b"x-trailer" not in seen.raw


# -- pipelining and leaving ---------------------------------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order(fakes: StartFake, serving: StartGateway) -> None:
    async def echo(seen: Seen) -> None:
        await seen.wire.send(answer(unary(json.loads(seen.body)["messages"][0]["content"])))

    gateway = await serving([await fakes(echo)])
    async with gateway.client() as client:
        client.send(b"".join(post(CHAT, chat(content=f"number {number}")) for number in range(20)))
        for number in range(20):
            found = await client.answer()
            assert found.json["choices"][0]["message"]["content"] == f"number {number}"


async def test_pipelined_requests_of_all_kinds_keep_their_order(fakes: StartFake, serving: StartGateway) -> None:
    frames = [b"data: 1\n\n", b"data: [DONE]\n\n"]

    async def script(seen: Seen) -> None:
        await says(*(stream(frames) if json.loads(seen.body).get("stream") else (answer(unary()),)))(seen)

    gateway = await serving([await fakes(script)])
    async with gateway.client() as client:
        client.send(
            post(CHAT, chat(stream=True)) + get("/health/live") + post(CHAT, b"{") + post(CHAT, chat()) + get("/nope")
        )
        assert (await client.answer()).body == b"".join(frames)
        assert (await client.answer()).json == {"status": "live"}
        assert (await client.answer()).status == 400
        assert (await client.answer()).body == unary()
        assert (await client.answer()).status == 404


async def test_what_is_pipelined_beyond_the_bound_is_not_answered(fakes: StartFake, serving: StartGateway) -> None:
    go = asyncio.Event()

    async def script(seen: Seen) -> None:
        await go.wait()
        await seen.wire.send(answer(unary()))

    fake = await fakes(script)
    gateway = await serving([fake])
    async with gateway.client() as client:
        client.send(post(CHAT, chat()) * 100)
        await fake.arrived.wait()
        (connection,) = gateway.gateway.connections
        assert len(connection._queue) <= 32
        go.set()
        answers = 0
        while (found := await client.read()) is not None and found.whole:
            assert found.status == 200
            answers += 1
        assert answers == 33


async def test_a_refused_request_behind_another_does_not_disturb_it(fakes: StartFake, serving: StartGateway) -> None:
    go = asyncio.Event()

    async def script(seen: Seen) -> None:
        await go.wait()
        await seen.wire.send(answer(unary()))

    fake = await fakes(script)
    gateway = await serving([fake])
    async with gateway.client() as client:
        client.send(post(CHAT, chat()) + b"nonsense\r\n\r\n")
        await fake.arrived.wait()
        go.set()
        found = await client.answer()
        assert found.body == unary()
        assert await client.closed()


@pytest.mark.parametrize("behind", [b"", post(CHAT, chat()) * 3, b"POST / HT"])
@pytest.mark.parametrize("half", [False, True])
async def test_a_client_that_leaves_ends_its_request(
    behind: bytes, half: bool, fakes: StartFake, serving: StartGateway
) -> None:
    fake = await fakes(silence)
    gateway = await serving([fake])
    async with gateway.client() as client:
        client.send(post(CHAT, chat()) + behind)
        await fake.arrived.wait()
        client.half_close() if half else client.drop()
        await asyncio.wait_for(fake.requests[0].wire.closed.wait(), 5)
        await gateway.quiet()
        assert len(fake.requests) == 1
        await until(lambda: not gateway.gateway.connections)


async def test_too_many_connections_are_told_so(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], limits={"connections": 2})
    async with gateway.client() as one, gateway.client() as two:
        assert (await one.ask(get("/health/live"))).status == 200
        assert (await two.ask(get("/health/live"))).status == 200
        async with gateway.client() as three:
            found = await three.answer()
            assert found.status == 503
            assert found.error["code"] == "too_many_connections"
            assert found.header(b"retry-after") == b"1"


async def test_slow_readers_together_are_bounded(fakes: StartFake, serving: StartGateway) -> None:
    frames = [b"data: " + b"x" * 60_000 + b"\n\n"] * 400
    fake = await fakes(says(*stream(frames)))
    gateway = await serving([fake], limits={"stream_buffer_bytes": 400_000, "total_buffer_bytes": 300_000})
    async with gateway.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(post(CHAT, chat(stream=True)))
        await until(lambda: not gateway.gateway.connections)
        await gateway.quiet()
