"""One connection to a model server: HTTP/1.1 as a client, one request at a time.

An own client on asyncio's protocols, because the client is most of what a gateway costs: httpx alone takes 1.2 ms of
CPU a request (measured), the whole of this gateway about 0.1. It speaks only what model servers speak: no redirects, no
cookies, no compression.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import httptools

from gateway.clock import Clock
from gateway.exchange import Headers

LARGEST_HEAD = 256 * 1024  # bytes of heads, chunk extensions and trailers that bring no piece of a body
_JOINED = 64 * 1024  # bytes up to which one copy is cheaper than several pieces
TRAILERS: Any = deque(maxlen=0)  # takes the place of an answer's header list, and keeps nothing

USUAL_CONNECTION = frozenset({b"close", b"keep-alive"})  # values of a Connection header that name no other header

Pieces = Sequence[bytes | memoryview]


def end_to_end(headers: Headers) -> Headers:
    """Without those that a Connection header names: they are of one connection only (RFC 9110, section 7.6.1)."""
    named = {word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")}
    return [pair for pair in headers if pair[0] not in named]


class Unsent(ConnectionError):
    """No byte of an answer came and the model server can't have worked on the request: another attempt is safe.

    ``stale``: it was a kept connection that the model server had given up, which is no fault of its.
    """

    def __init__(self, reason: str, *, stale: bool = False) -> None:
        super().__init__(reason)
        self.stale = stale


class Broken(ConnectionError):
    """The answer did not come to its end. ``started`` tells whether its head had come."""


class Sink(Protocol):
    """Takes an answer's body. ``end`` comes once: None after a complete answer, else what went wrong."""

    def feed(self, data: bytes) -> None: ...
    def end(self, error: Exception | None) -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """One connection; between `send` and the end of the answer it belongs to one attempt."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # until connection_made
        self.since = clock.now  # when it last read a byte, or was put aside
        self.closed = False
        self.served = 0  # answers before this one: a used connection may have gone stale
        self._bodies: list[bytes] = []
        self.on_body = self._bodies.append  # the parser's callback: no Python frame for each piece
        self._sink: Sink | None = None
        self._head: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._reset()
        self._parser: Any = httptools.HttpResponseParser(self)

    def _reset(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.events = False  # whether it is a stream of events
        self._incoming: Any = []
        self.complete = False
        self.pieces = 0  # of the body, as the model server wrote them: of a stream an event each
        self.length: int | None = None
        self._until_close = False
        self._keep = False
        self._surplus = False
        self._received = False
        self._barren = 0  # bytes read since the last piece of the body
        self._error = None

    # -- the parser's calls ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            self._surplus = True
            raise ValueError("an answer to no request")  # ends the parsing: nothing of it may reach this one

    def on_header(self, name: bytes, value: bytes) -> None:
        self._incoming.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim answer: skipped
            self._incoming = []
            return
        self.status = status
        self.headers, self._incoming = self._incoming, TRAILERS
        chunked = False
        for name, value in self.headers:
            if name == b"content-length":
                self.length = int(value)
            elif name == b"transfer-encoding":
                chunked = True
            elif name == b"content-type":
                self.events = value.startswith(b"text/event-stream")
            elif name == b"connection" and value not in USUAL_CONNECTION:
                self.headers = end_to_end(self.headers)
        self._until_close = self.length is None and not chunked
        self._keep = bool(self._parser.should_keep_alive())  # the parser forgets it when the message is complete
        if self._head is not None and not self._head.done():
            self._head.set_result(None)

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True

    # -- the transport's calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.since = self._clock.now
        if self._head is None:  # nobody waits: a server that speaks unasked is not to be trusted with a request
            self.close()
            return
        self._received = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                self.fail(Broken(f"the model server's answer is not valid HTTP/1.1: {error}"))
                return
            self._surplus = True
        if self._bodies or self.complete:
            self._barren = 0
            if self._sink is not None:
                self._deliver()
        else:
            self._barren += len(data)
            if self._barren > LARGEST_HEAD:
                self.fail(Broken(f"the model server sent more than {LARGEST_HEAD:,} bytes of headers"))

    def _deliver(self) -> None:
        sink, bodies = self._sink, self._bodies
        assert sink is not None
        if bodies:
            self.pieces += len(bodies)
            data = bodies[0] if len(bodies) == 1 else b"".join(bodies)
            bodies.clear()
            sink.feed(data)
        if self.complete and self._sink is not None:
            self._sink = None
            sink.end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._head is None:
            return
        if self.status and self._until_close and exc is None:
            self.complete = True
            if self._sink is not None:
                self._deliver()
            return
        if not self._received and self.served and self._clock.now - self.since <= 1.0:
            self.fail(Unsent("a kept connection had gone stale", stale=True))
        else:
            self.fail(Broken("the model server closed the connection before its answer was complete"))

    # -- an attempt's calls ---------------------------------------------------------------------------------------

    async def send(self, pieces: Pieces) -> None:
        """Sends a request and waits for the head of its answer: `status`, `headers`, `length` (None if chunked).

        Raises `Unsent`, `Broken`, or what `fail` was called with.
        """
        await self.write(pieces)

    def write(self, pieces: Pieces) -> asyncio.Future[None]:
        """The first half of `send`: what is returned is to be awaited for the other one."""
        self._reset()
        self.since = self._clock.now
        head = self._head = self._loop.create_future()
        if sum(map(len, pieces)) <= _JOINED:
            self.transport.write(b"".join(pieces))
        else:
            self.transport.writelines(pieces)
        return head

    def deliver_to(self, sink: Sink) -> None:
        """From now on the body goes to ``sink``, beginning with what has come already."""
        self._sink = sink
        self._deliver()
        if self._error is not None and self._sink is not None:
            self._sink = None
            sink.end(self._error)

    def take(self) -> bytes:
        """The whole body, if it has come already (`complete`)."""
        data = self._bodies[0] if len(self._bodies) == 1 else b"".join(self._bodies)
        self._bodies.clear()
        return data

    def fail(self, error: Exception) -> None:
        """Gives up: whoever waits is told, the connection is closed."""
        self._error = error
        if self._sink is not None:
            self._deliver()  # what came before it went wrong
        sink, self._sink = self._sink, None
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        elif sink is not None and not self.complete:
            sink.end(error)
        self.close()

    def reusable(self) -> bool:
        return (
            self.complete
            and not self.closed
            and not self._surplus
            and self._keep
            and not self.transport.get_write_buffer_size()
        )

    def put_aside(self) -> None:
        self._head = None
        self._sink = None
        self._bodies.clear()
        self.served += 1
        self.since = self._clock.now

    def close(self) -> None:
        """Nobody is told anything after this."""
        self.closed = True
        self._sink = None
        if self.transport is not None:
            self.transport.abort()
