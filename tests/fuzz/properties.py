"""What must hold for any bytes from either side of the wire. Shared by the property tests and the fuzzer.

Each check takes raw bytes and the places where reads cut them, and fails with an AssertionError.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Coroutine, Iterable
from typing import Any

from gateway.body import Body
from gateway.clock import Clock
from gateway.config import LimitSettings, TimeoutSettings
from gateway.downstream import Connection
from gateway.errors import ApiError
from gateway.exchange import Exchange
from gateway.relay import Relay
from gateway.upstream_connection import UpstreamConnection
from tests.fakes.transport import Recorded

LIMITS = LimitSettings(header_bytes=2048, body_bytes=2048)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """``data`` in pieces; a place beyond the end counts from its start again."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


# -- requests -----------------------------------------------------------------------------------------------------

Asked = tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]], bytes]  # method, path, query, headers, body


class Recording:
    """A server that answers each request at once, and knows which it was asked and which it refused."""

    def __init__(self) -> None:
        self.clock = Clock(1000.0)
        self.limits = LIMITS
        self.timeouts = TimeoutSettings()
        self.connections: set[Any] = set()
        self.admitted: list[Exchange] = []
        self.asked: list[Asked] = []
        self.refusals: list[tuple[int, str]] = []

    def admit(self, exchange: Exchange) -> None:
        self.admitted.append(exchange)

    def answer(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        assert exchange in self.admitted, "answered without a look at its head"
        assert len(exchange.body) == exchange.length <= LIMITS.body_bytes
        self.asked.append((exchange.method, exchange.path, exchange.query, exchange.headers, exchange.body))
        return self._reply(exchange)

    async def _reply(self, exchange: Exchange) -> None:
        exchange.reply(200, [], b"%d" % len(exchange.body))

    def refused(self, exchange: Exchange, error: ApiError) -> None:
        assert 400 <= error.status < 500
        self.refusals.append((error.status, error.code))


async def _feed_requests(pieces: list[bytes]) -> tuple[Recording, Recorded]:
    server, client = Recording(), Recorded()
    connection = Connection(server)
    connection.connection_made(client)
    for piece in pieces:
        connection.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(LIMITS.header_bytes):
        if connection._exchange is None:
            break
        await asyncio.sleep(0)
    assert connection._exchange is None, "a request was never answered"
    connection.connection_lost(None)
    return server, client


def check_requests(data: bytes, places: Iterable[int], loop: asyncio.AbstractEventLoop) -> None:
    """Nothing is raised, each request has one answer, and where reads cut the bytes makes no difference.

    But one: what is refused while an earlier request is being answered closes the connection behind that answer.
    """
    in_pieces, ended = _asked(cut(data, places), loop)
    by_bytes, ended_too = _asked([bytes([byte]) for byte in data], loop)
    if ended or ended_too:
        assert all(one == other for one, other in zip(in_pieces, by_bytes, strict=False))
    else:
        assert in_pieces == by_bytes


def _asked(pieces: list[bytes], loop: asyncio.AbstractEventLoop) -> tuple[list[Asked], bool]:
    """The requests that were answered, and whether the connection was ended or something refused."""
    server, client = loop.run_until_complete(_feed_requests(pieces))
    assert count_answers(client.written) == len(server.asked) + len(server.refusals)
    assert len(server.refusals) <= 1
    return server.asked, bool(client.ended or server.refusals)


def count_answers(written: bytes | bytearray) -> int:
    return written.count(b"HTTP/1.1 ") - written.count(b"HTTP/1.1 100 Continue")


# -- bodies -------------------------------------------------------------------------------------------------------


class Repeated(Exception):
    """A key that stands twice on the top level."""


def _expected(data: bytes) -> Any:
    """What the standard library reads of RFC 8259's JSON; raises ValueError, or Repeated."""
    text = data.decode("utf-8")
    pairs: list[tuple[str, Any]] = []

    def keep(members: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs[:] = members  # the top level's come last
        return dict(members)

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    value = json.loads(text, object_pairs_hook=keep, parse_constant=refuse)
    if not isinstance(value, dict):
        raise ValueError("no object")
    if len({name for name, _ in pairs}) < len(pairs):
        raise Repeated
    return value


def _spells_half_a_pair(value: Any) -> bool:
    """Whether the standard library read a lone surrogate, which is no text and which we refuse."""
    return any("\ud800" <= char <= "\udfff" for char in json.dumps(value, ensure_ascii=False))


def check_body(data: bytes) -> None:
    """Accepts what the standard library accepts, but for the differences named here; splices change what they say."""
    try:
        expected = _expected(data)
    except Repeated:
        expected = Repeated
    except (ValueError, RecursionError):
        expected = None
    try:
        body = Body(data)
    except ApiError as error:
        assert error.status == 400
        assert json.loads(error.body())["error"]["message"]
        if isinstance(expected, dict):
            # Two differences: half a surrogate pair, and nesting beyond msgspec's own limit.
            assert _spells_half_a_pair(expected) or data.count(b"[") + data.count(b"{") > 500, data
        elif error.code == "duplicate_key":
            assert expected is Repeated or expected is None, data
        return
    if expected is None:
        # Values are skipped as raw bytes: what their texts hold is looked at when they are read.
        _check_values_are_refused(body, data)
        return
    assert isinstance(expected, dict), data
    assert set(body.raws) == set(expected)
    _check_splices(body, data, expected)


def _check_values_are_refused(body: Body, data: bytes) -> None:
    """Only bytes that are no UTF-8 within a value, or nesting, may tell the two apart."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    assert data.count(b"[") + data.count(b"{") > 500, data


def _check_splices(body: Body, data: bytes, expected: dict[str, Any]) -> None:
    assert b"".join(body.spliced()) == data
    for name in list(expected)[:3]:
        changed = b"".join(body.spliced(**{name: b'"spliced"'}))
        assert json.loads(changed) == {**expected, name: "spliced"}, (data, changed)
    if "spliced by us" not in expected:
        body.insert(b'"spliced by us":1')
        assert json.loads(b"".join(body.spliced())) == {**expected, "spliced by us": 1}


# -- streams ------------------------------------------------------------------------------------------------------


class Kept:
    """Takes the place of an exchange: keeps what is written, one entry a write."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.last = b""
        self.watcher: Any = None
        self.keep_alive = True

    def write(self, data: bytes) -> None:
        if data:
            self.written.append(data)

    def finish(self, last: bytes = b"") -> None:
        self.last = last


def relay(pieces: list[bytes], *, hide_usage: bool) -> Kept:
    kept = Kept()
    clock = Clock(1000.0)
    parts: Any = kept
    relay = Relay(parts, clock, TimeoutSettings(), lambda: 0.0, 60.0, hide_usage)
    relay._streaming = True
    for piece in pieces:
        relay.feed(piece)
        newest = kept.written[-1] if kept.written else b""
        # Behind a hidden frame an empty line too many may stand by itself: it belongs to none.
        assert newest.endswith((b"\n\n", b"\n\r\n")) or not newest.strip(b"\r\n"), "half a frame was let out"
    relay.end(None)
    return kept


def check_frames(data: bytes, places: Iterable[int]) -> None:
    """What came goes out, byte by byte and in whole frames; with usage hidden, the rest of it."""
    pieces = cut(data, places)
    kept = relay(pieces, hide_usage=False)
    assert b"".join(kept.written) + kept.last == data
    hidden = relay(pieces, hide_usage=True)
    if b'"usage"' not in data:
        assert b"".join(hidden.written) + hidden.last == data
    assert is_part(b"".join(hidden.written) + hidden.last, data)


def is_part(part: bytes, whole: bytes) -> bool:
    """Whether ``part`` is ``whole`` with bytes left out."""
    rest = iter(whole)
    return all(byte in rest for byte in part)


# -- answers ------------------------------------------------------------------------------------------------------


class Collecting:
    """A sink that knows the body and how it ended: [None] or [an error]."""

    def __init__(self) -> None:
        self.body = b""
        self.ends: list[Exception | None] = []

    def feed(self, data: bytes) -> None:
        assert not self.ends, "a piece of the body after its end"
        self.body += data

    def end(self, error: Exception | None) -> None:
        self.ends.append(error)


async def _feed_answer(pieces: list[bytes]) -> tuple[int, bytes, bool, bool]:
    """Status, body, whether it is complete, whether the connection would be used again."""
    connection, server, sink = UpstreamConnection(Clock(1000.0)), Recorded(), Collecting()
    connection.connection_made(server)
    sending = asyncio.ensure_future(connection.send([b"x"]))
    await asyncio.sleep(0)
    for piece in pieces:
        if not connection.closed:
            connection.data_received(piece)
        if sending.done() and not sending.exception() and connection._sink is None and not sink.ends:
            connection.deliver_to(sink)
    reusable = connection.reusable()
    if not connection.closed:
        connection.connection_lost(None)
    await asyncio.sleep(0)
    assert sending.done(), "the attempt was told nothing"
    if sending.exception() is not None:
        return 0, b"", False, False
    if not sink.ends and connection._sink is None:
        connection.deliver_to(sink)
    assert len(sink.ends) == 1, "an answer ends once"
    complete = sink.ends[0] is None
    assert complete == connection.complete, "both complete and broken"
    return connection.status, sink.body, complete, reusable


def check_answer(data: bytes, places: Iterable[int], loop: asyncio.AbstractEventLoop) -> None:
    """One end, and the same body wherever reads cut the bytes."""
    at_once = loop.run_until_complete(_feed_answer([data] if data else []))
    in_pieces = loop.run_until_complete(_feed_answer(cut(data, places)))
    byte_by_byte = loop.run_until_complete(_feed_answer([bytes([byte]) for byte in data]))
    for other in (in_pieces, byte_by_byte):
        assert at_once[1:3] == other[1:3] or not (at_once[2] or other[2]), (at_once, other)
