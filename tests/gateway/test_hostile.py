"""Hostile clients at the wire: each request gets a clear 4xx or the right answer, and the next one is served.

The table says for each request what is answered (a status with its error's code, or a plain 200) and whether the
connection can be used afterwards. Where a request's end is in doubt the connection must close: what follows could be
another client's request smuggled in by a proxy that reads the lengths differently.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.conftest import StartFake, StartGateway
from tests.fakes.client import Client, chat, get, post, until
from tests.fakes.gateway import RunningGateway
from tests.fakes.http import Message
from tests.fakes.server import silence

CHAT = "/v1/chat/completions"
BODY = chat()
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
PLAIN = b"GET /health/live HTTP/1.1\r\nhost: a\r\n"

OK = (200, "")
INVALID = (400, "invalid_http")
NOT_FOUND = (404, "not_found")
UNKNOWN = (404, "model_not_found")
NOT_ALLOWED = (405, "method_not_allowed")
TOO_LARGE = (413, "request_too_large")
HEADER = (431, "header_too_large")
CODED = (415, "unsupported_encoding")
OPEN, CLOSED = "open", "closed"


Table = dict[str, tuple[bytes, tuple[int, str], str]]


def request(lines: bytes, body: bytes = BODY, *, path: str = CHAT) -> bytes:
    """A chat request with these header lines for its framing."""
    return b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n%b\r\n%b" % (path.encode(), lines, body)


def of(target: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return b"%b %b %b\r\nhost: a\r\n\r\n" % (method, target, version)


def in_chunks(data: bytes) -> bytes:
    return request(CHUNKED, data)


LENGTHS: Table = {
    "both lengths": (request(LENGTH + CHUNKED, CHUNKS), INVALID, CLOSED),
    "both lengths, the other order": (request(CHUNKED + LENGTH, CHUNKS), INVALID, CLOSED),
    "two lengths": (request(LENGTH + b"content-length: 5\r\n"), INVALID, CLOSED),
    "the same length twice": (request(LENGTH + LENGTH), INVALID, CLOSED),
    "a list of lengths": (request(b"content-length: 5, 5\r\n"), INVALID, CLOSED),
    "length with a plus": (request(b"content-length: +5\r\n"), INVALID, CLOSED),
    "length below zero": (request(b"content-length: -5\r\n"), INVALID, CLOSED),
    "length in hex": (request(b"content-length: 0x5\r\n"), INVALID, CLOSED),
    "length with a separator": (request(b"content-length: 1_0\r\n"), INVALID, CLOSED),
    "length as a fraction": (request(b"content-length: 5.0\r\n"), INVALID, CLOSED),
    "length with an exponent": (request(b"content-length: 1e2\r\n"), INVALID, CLOSED),
    "length with a space within": (request(b"content-length: 1 0\r\n"), INVALID, CLOSED),
    "length in other digits": (request("content-length: ٣\r\n".encode()), INVALID, CLOSED),
    "empty length": (request(b"content-length:\r\n"), INVALID, CLOSED),
    "length of 2^64 + 1": (request(b"content-length: 18446744073709551617\r\n"), INVALID, CLOSED),
    "length of 2^64 - 1": (request(b"content-length: 18446744073709551615\r\n"), TOO_LARGE, CLOSED),
    "length of 5,000 digits": (request(b"content-length: " + b"0" * 5000 + b"5\r\n"), TOO_LARGE, CLOSED),
    "length with zeros before it": (request(b"content-length: 000%d\r\n" % len(BODY)), OK, OPEN),
    "length with blanks around it": (request(b"content-length: \t %d \t \r\n" % len(BODY)), OK, OPEN),
    "no length": (request(b"", b""), (400, "invalid_json"), OPEN),
    "chunked, chunked": (request(b"transfer-encoding: chunked, chunked\r\n", CHUNKS), INVALID, CLOSED),
    "chunked twice": (request(CHUNKED + CHUNKED, CHUNKS), INVALID, CLOSED),
    "xchunked": (request(b"transfer-encoding: xchunked\r\n", CHUNKS), INVALID, CLOSED),
    "chunked in quotes": (request(b'transfer-encoding: "chunked"\r\n', CHUNKS), INVALID, CLOSED),
    "chunked with a parameter": (request(b"transfer-encoding: chunked;q=1\r\n", CHUNKS), INVALID, CLOSED),
    "chunked before a comma": (request(b"transfer-encoding: chunked,\r\n", CHUNKS), INVALID, CLOSED),
    "chunked behind a comma": (request(b"transfer-encoding: ,chunked\r\n", CHUNKS), INVALID, CLOSED),
    "gzip, chunked": (request(b"transfer-encoding: gzip, chunked\r\n", CHUNKS), INVALID, CLOSED),
    "chunked, gzip": (request(b"transfer-encoding: chunked, gzip\r\n", CHUNKS), INVALID, CLOSED),
    "another coding, then chunked": (request(b"transfer-encoding: x\r\n" + CHUNKED, CHUNKS), INVALID, CLOSED),
    "identity and a length": (request(b"transfer-encoding: identity\r\n" + LENGTH), INVALID, CLOSED),
    "empty coding and a length": (request(b"transfer-encoding:\r\n" + LENGTH), INVALID, CLOSED),
    "a space before the colon": (request(b"transfer-encoding : chunked\r\n", CHUNKS), INVALID, CLOSED),
    "a tab before the colon": (request(b"transfer-encoding\t: chunked\r\n", CHUNKS), INVALID, CLOSED),
    "a vertical tab": (request(b"transfer-encoding: \x0bchunked\r\n", CHUNKS), INVALID, CLOSED),
    "a folded coding": (request(b"transfer-encoding:\r\n chunked\r\n", CHUNKS), INVALID, CLOSED),
    "a tab behind the colon": (request(b"transfer-encoding:\tchunked\r\n", CHUNKS), OK, OPEN),
    "CHUNKED": (request(b"Transfer-Encoding: CHUNKED\r\n", CHUNKS), OK, OPEN),
    "chunked in HTTP/1.0": (request(CHUNKED, CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0"), INVALID, CLOSED),
    "both lengths and an upgrade": (
        request(LENGTH + CHUNKED + b"connection: upgrade\r\nupgrade: h2c\r\n", CHUNKS),
        INVALID,
        CLOSED,
    ),
}

CHUNK_LINES: Table = {
    "chunk of 2^64 + 1": (in_chunks(b"10000000000000001\r\n"), INVALID, CLOSED),
    "chunk below zero": (in_chunks(b"-1\r\na\r\n"), INVALID, CLOSED),
    "chunk with a plus": (in_chunks(b"+1\r\na\r\n"), INVALID, CLOSED),
    "chunk with 0x": (in_chunks(b"0x1\r\na\r\n"), INVALID, CLOSED),
    "chunk with a space": (in_chunks(b"1 \r\na\r\n"), INVALID, CLOSED),
    "chunk behind a space": (in_chunks(b" 1\r\na\r\n"), INVALID, CLOSED),
    "chunk without a size": (in_chunks(b"\r\na\r\n"), INVALID, CLOSED),
    "chunk longer than it says": (in_chunks(b"1\r\nabc\r\n"), INVALID, CLOSED),
    "chunk lines that end in LF": (in_chunks(CHUNKS.replace(b"\r\n", b"\n")), INVALID, CLOSED),
    "extension with a LF": (in_chunks(b"1;a\nb\r\n{\r\n"), INVALID, CLOSED),
    "extensions": (in_chunks(b'%x;a=b;c="d"\r\n%b\r\n0;e\r\n\r\n' % (len(BODY), BODY)), OK, OPEN),
    "zeros before the size": (in_chunks(b"0" * 10_000 + CHUNKS), OK, OPEN),
    "extensions without end": (in_chunks(b"1;" + b"a" * 2_000_000), HEADER, CLOSED),
    "trailers": (in_chunks(CHUNKS[:-2] + b"authorization: x\r\nhost: b\r\n\r\n"), OK, OPEN),
    "trailers without end": (in_chunks(CHUNKS[:-2] + b"x: y\r\n" * 400_000), HEADER, CLOSED),
    "one trailer without end": (in_chunks(CHUNKS[:-2] + b"x: " + b"y" * 2_000_000), HEADER, CLOSED),
    "a length as a trailer": (in_chunks(CHUNKS[:-2] + b"content-length: 5\r\n\r\n"), INVALID, CLOSED),
    "a coding as a trailer": (in_chunks(CHUNKS[:-2] + CHUNKED + b"\r\n"), INVALID, CLOSED),
    "an upgrade as a trailer": (in_chunks(CHUNKS[:-2] + b"connection: upgrade\r\nupgrade: x\r\n\r\n"), OK, OPEN),
}

HEADERS: Table = {
    "bare CR": (request(LENGTH + b"x: a\rb\r\n"), INVALID, CLOSED),
    "bare LF": (request(LENGTH + b"x: a\nb: c\r\n"), INVALID, CLOSED),
    "LF only": (request(LENGTH).replace(b"\r\n", b"\n"), INVALID, CLOSED),
    "CR only": (of(b"/").replace(b"\r\n", b"\r"), INVALID, CLOSED),
    "NUL in a value": (request(LENGTH + b"x: a\0b\r\n"), INVALID, CLOSED),
    "NUL in a name": (request(LENGTH + b"x\0: a\r\n"), INVALID, CLOSED),
    "control character in a value": (request(LENGTH + b"x: a\x01b\r\n"), INVALID, CLOSED),
    "space in a name": (request(LENGTH + b"x y: a\r\n"), INVALID, CLOSED),
    "empty name": (request(LENGTH + b": a\r\n"), INVALID, CLOSED),
    "a name that is no ASCII": (request(LENGTH + "ü: a\r\n".encode()), INVALID, CLOSED),
    "a value that is no ASCII": (request(LENGTH + "x: ü\r\n".encode()), OK, OPEN),
    "obsolete folding": (request(LENGTH + b"x: a\r\n b\r\n"), INVALID, CLOSED),
    "folding of the first line": (b"GET / HTTP/1.1\r\n x: b\r\nhost: a\r\n\r\n", INVALID, CLOSED),
    "a flood of headers": (request(LENGTH + b"x: y\r\n" * 20_000), HEADER, CLOSED),
    "a header of 1 MB": (request(LENGTH + b"x: " + b"y" * 1_000_000 + b"\r\n"), HEADER, CLOSED),
    "no host": (b"GET /health/live HTTP/1.1\r\n\r\n", INVALID, CLOSED),
    "two hosts": (PLAIN + b"host: b\r\n\r\n", INVALID, CLOSED),
    "no host in HTTP/1.0": (b"GET /health/live HTTP/1.0\r\n\r\n", OK, CLOSED),
    "two content types": (request(LENGTH + b"content-type: text/plain\r\n"), INVALID, CLOSED),
    "two keys": (request(LENGTH + b"authorization: Bearer a\r\nauthorization: Bearer b\r\n"), INVALID, CLOSED),
    "gzip": (request(LENGTH + b"content-encoding: gzip\r\n"), CODED, CLOSED),
    "gzip, another route": (request(LENGTH + b"content-encoding: gzip\r\n", path="/v1/route"), CODED, CLOSED),
    "no encoding, and says so": (request(LENGTH + b"content-encoding: identity\r\n"), OK, OPEN),
    "another expectation": (request(LENGTH + b"expect: 200-ok\r\n"), OK, OPEN),
    "an upgrade": (request(LENGTH + b"connection: upgrade\r\nupgrade: h2c\r\n"), OK, OPEN),
    "connection headers of the framing": (request(LENGTH + b"connection: content-length, host\r\n"), OK, OPEN),
    "an id that is none": (request(LENGTH + b"x-request-id: a b\r\n"), OK, OPEN),
    "odd cookies and types": (PLAIN + b"cookie: =;;\xff\r\naccept: ;,,q=\xff\r\n\r\n", OK, OPEN),
    "empty lines first": (b"\r\n\r\n" + request(LENGTH), OK, OPEN),
    "a space first": (b" " + request(LENGTH), INVALID, CLOSED),
}

FIRST_LINES: Table = {
    "absolute form": (of(b"http://a/health/live"), OK, OPEN),
    "absolute form, chat": (request(LENGTH, path="http://a" + CHAT), OK, OPEN),
    "absolute form, only a host": (of(b"http://a"), OK, OPEN),
    "absolute form, another scheme": (of(b"ftp://a/health/live"), NOT_FOUND, OPEN),
    "asterisk": (of(b"*", b"OPTIONS"), NOT_FOUND, OPEN),
    "no slash": (of(b"health"), INVALID, CLOSED),
    "no target": (of(b""), INVALID, CLOSED),
    "a space in the target": (of(b"/v1 /models"), INVALID, CLOSED),
    "NUL in the target": (of(b"/\0"), INVALID, CLOSED),
    "tab in the target": (of(b"/\t"), INVALID, CLOSED),
    "raw UTF-8 in the path": (of("/ü".encode()), INVALID, CLOSED),
    "raw bytes in the query": (of(b"/v1/models?a=\xff"), INVALID, CLOSED),
    "escapes in the query": (of(b"/v1/models?a=%ff&%zz=%&=&&"), OK, OPEN),
    "escapes in the query, chat": (request(LENGTH, path=CHAT + "?a=%ff&%zz"), OK, OPEN),
    "an escape that is none": (of(b"/v1/models/%zz"), UNKNOWN, OPEN),
    "escaped bytes": (of(b"/v1/models/%ff%fe%ed%a0%80"), UNKNOWN, OPEN),
    "escaped line end": (of(b"/v1/models/%0d%0ax:%20y"), UNKNOWN, OPEN),
    "escaped NUL": (of(b"/docs/assets/%00"), NOT_FOUND, OPEN),
    "a long name": (of(b"/docs/assets/" + b"a" * 300), NOT_FOUND, OPEN),
    "a long path": (of(b"/docs/assets" + b"/abc" * 3000), NOT_FOUND, OPEN),
    "a target of 1 MB": (of(b"/" + b"a" * 1_000_000), HEADER, CLOSED),
    "a way out of the directory": (of(b"/docs/assets/../../../etc/passwd"), NOT_FOUND, OPEN),
    "a way out, escaped": (of(b"/docs/assets/%2e%2e/%2e%2e%2fetc/passwd"), NOT_FOUND, OPEN),
    "a fragment": (of(b"/v1/models#x"), NOT_FOUND, OPEN),
    "a method in lower case": (of(b"/", b"get"), INVALID, CLOSED),
    "a method that is none": (of(b"/", b"FOO"), INVALID, CLOSED),
    "TRACE": (of(b"/v1/models", b"TRACE"), NOT_ALLOWED, OPEN),
    "PROPFIND": (of(b"/v1/models", b"PROPFIND"), NOT_ALLOWED, OPEN),
    "M-SEARCH": (of(b"/v1/models", b"M-SEARCH"), NOT_ALLOWED, OPEN),
    "PURGE": (of(CHAT.encode(), b"PURGE"), NOT_ALLOWED, CLOSED),
    "CONNECT": (of(b"a:80", b"CONNECT"), (400, "invalid_request"), CLOSED),
    "HTTP/0.9": (b"GET /health/live\r\n\r\n", INVALID, CLOSED),
    "HTTP/0.9, spelled out": (of(b"/health/live", version=b"HTTP/0.9"), INVALID, CLOSED),
    "HTTP/1.0": (of(b"/health/live", version=b"HTTP/1.0"), OK, CLOSED),
    "HTTP/1.2": (of(b"/health/live", version=b"HTTP/1.2"), INVALID, CLOSED),
    "HTTP/2.0": (of(b"/health/live", version=b"HTTP/2.0"), INVALID, CLOSED),
    "HTTP/2.0 with an upgrade": (
        b"GET / HTTP/2.0\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        INVALID,
        CLOSED,
    ),
    "HTTP/11": (of(b"/health/live", version=b"HTTP/11"), INVALID, CLOSED),
    "http/1.1": (of(b"/health/live", version=b"http/1.1"), INVALID, CLOSED),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", INVALID, CLOSED),
    "the hello of TLS": (bytes.fromhex("1603010200010001fc0303"), INVALID, CLOSED),
}


def check(found: Message, expected: tuple[int, str]) -> None:
    status, code = expected
    assert found.status == status, found.raw[:500]
    assert found.whole
    if status >= 400:
        assert found.error["code"] == code
    assert found.header(b"x-request-id") is not None


async def check_next(gateway: RunningGateway, client: Client, state: str) -> None:
    """The connection is as promised, the gateway serves others, and nothing of it failed."""
    if state == OPEN:
        assert (await client.ask(get("/health/live"))).json == {"status": "live"}
    else:
        assert await client.closed()
    assert (await gateway.ask(post(CHAT, chat()))).status == 200
    assert gateway.in_flight() == 0
    assert not any(b"internal_error" in line or b'"fault"' in line for line in await gateway.log_lines())


@pytest.mark.parametrize(
    "table", [LENGTHS, CHUNK_LINES, HEADERS, FIRST_LINES], ids=str.split("lengths chunks headers lines")
)
async def test_hostile_requests(table: Table, fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    for name, (data, expected, state) in table.items():
        try:
            async with gateway.client() as client:
                found = await client.ask(data)
                check(found, expected)
                assert (found.header(b"connection") == b"close") == (state == CLOSED)
                await check_next(gateway, client, state)
        except Exception as error:
            error.add_note(f"the case: {name}")
            raise


@pytest.mark.parametrize("size", [b"ffffffffffffffff", b"7fffffffffffffff"])
async def test_a_chunk_that_is_announced_without_bound_is_not_waited_for(
    size: bytes, fakes: StartFake, serving: StartGateway
) -> None:
    gateway = await serving([await fakes()])
    async with gateway.client() as client:
        client.send(in_chunks(size + b"\r\n{"))
        await until(lambda: any(connection._phase == "body" for connection in gateway.gateway.connections))
        gateway.pass_time(gateway.gateway.timeouts.body_idle + 1)
        check(await client.answer(), (408, "body_timeout"))
        await check_next(gateway, client, CLOSED)


@pytest.mark.parametrize("data", [b"GET /health/live\r\n", b"\r\nP", PLAIN, PLAIN + b"x"])
async def test_a_head_that_does_not_end_is_given_up(data: bytes, fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    async with gateway.client() as client:
        client.send(data)
        await until(lambda: any(connection._phase == "header" for connection in gateway.gateway.connections))
        gateway.pass_time(gateway.gateway.timeouts.header + 1)
        check(await client.answer(), (408, "header_timeout"))
        await check_next(gateway, client, CLOSED)


async def test_only_empty_lines_are_no_request(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    async with gateway.client() as client:
        client.send(b"\r\n" * 100_000)
        await until(lambda: any(connection._header_bytes == 200_000 for connection in gateway.gateway.connections))
        gateway.pass_time(gateway.gateway.timeouts.keep_alive + 1)
        assert await client.closed()


@pytest.mark.parametrize("announced", [True, False])
async def test_100_mb_are_refused_before_they_are_read(
    announced: bool, fakes: StartFake, serving: StartGateway
) -> None:
    """By their announced length at once, in chunks when the limit is reached; the rest is thrown away unread."""
    gateway = await serving([await fakes()])
    limit = gateway.gateway.limits.body_bytes
    size = 100 * 1024 * 1024
    async with gateway.client() as client:
        if announced:
            client.send(request(b"content-length: %d\r\n" % size, b"{"))
        else:
            client.send(in_chunks(b"%x\r\n" % size + b" " * limit))
            await until(lambda: _kept(gateway) == limit)
            client.send(b" ")
        check(await client.answer(), TOO_LARGE)
        for connection in gateway.gateway.connections:
            assert not connection._body
        await check_next(gateway, client, CLOSED)


def _kept(gateway: RunningGateway) -> int:
    return sum(len(piece) for connection in gateway.gateway.connections for piece in connection._body)


async def test_a_refusal_behind_a_running_answer_keeps_nothing(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(silence)
    gateway = await serving([fake])
    limit = gateway.gateway.limits.body_bytes
    async with gateway.client() as client:
        client.send(post(CHAT, chat()))
        await fake.arrived.wait()
        client.send(in_chunks(b"fffffff\r\n" + b" " * (limit + 1)))
        await until(lambda: all(connection._closing for connection in gateway.gateway.connections))
        assert _kept(gateway) == 0
        client.drop()
        await asyncio.wait_for(fake.requests[0].wire.closed.wait(), 5)
    await gateway.quiet()


async def test_a_request_in_pieces_of_one_byte(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    chunks = b"".join(b"1\r\n%b\r\n" % bytes([byte]) for byte in BODY) + b"0\r\n\r\n"
    async with gateway.client() as client:
        for byte in in_chunks(chunks):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        check(await client.answer(), OK)
        await check_next(gateway, client, OPEN)
    assert json.loads(fake.requests[0].body)["messages"] == json.loads(BODY)["messages"]


async def test_the_framing_of_a_body_has_a_bound_of_its_own(fakes: StartFake, serving: StartGateway) -> None:
    """A byte of body in each kilobyte of chunk extensions: no flood, but more on the wire than the body is worth."""
    gateway = await serving([await fakes()], limits={"body_bytes": 10_000, "header_bytes": 4096})
    async with gateway.client() as client:
        client.send(in_chunks((b"1;" + b"x" * 1000 + b"\r\n \r\n") * 200))
        check(await client.answer(), TOO_LARGE)
        assert await client.closed()
