"""The client's side: HTTP/1.1 as a server, for every route.

One protocol instance a connection, one `Exchange` a request. The whole request is read before anything is decided, so
limits and slow clients are dealt with here, for the model routes and the others alike. A client that leaves, even half
(it closes its sending side), cancels the task of its request: that is what reaches the model server.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Coroutine
from typing import Any, Protocol

import httptools

from gateway.body import too_large
from gateway.clock import Clock
from gateway.config import LimitSettings, TimeoutSettings
from gateway.errors import ApiError
from gateway.exchange import Exchange, Headers

QUEUED_REQUESTS = 32  # pipelined behind the one being answered; more than any client sends
TRAILERS: Any = collections.deque(maxlen=0)  # takes the place of a message's header list, and keeps nothing
WIRE_OVERHEAD = 8  # a body in chunks of one byte takes six bytes for each
SAID_ONCE = (b"host", b"content-type", b"authorization", b"transfer-encoding", b"content-encoding", b"expect")
LINGER = 2.0  # seconds in which a refused client may read its answer


class Server(Protocol):
    """What a connection needs of its server."""

    clock: Clock
    limits: LimitSettings
    timeouts: TimeoutSettings
    connections: set[Any]

    def admit(self, exchange: Exchange) -> None:
        """Looks at a request's head before its body is read; raises an `ApiError` to refuse it."""

    def answer(self, exchange: Exchange) -> Coroutine[Any, Any, None]: ...

    def refused(self, exchange: Exchange, error: ApiError) -> None:
        """Takes note of a request that is answered without being read to its end; gives it an id if it has none."""


class Connection(asyncio.Protocol):
    """One client connection. Requests that were sent ahead (pipelined) wait their turn; reading never stops for them,
    because only a read shows that the client has left."""

    __slots__ = (
        "_barren",
        "_body",
        "_closing",
        "_exchange",
        "_header_bytes",
        "_headers",
        "_lingering",
        "_loop",
        "_parser",
        "_paused_since",
        "_phase",
        "_queue",
        "_received",
        "_server",
        "_since",
        "_target",
        "_task",
        "_unsent_before",
        "ended_by",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()  # asking for it costs a system call each time
        self._parser: Any = None
        self._queue: collections.deque[Exchange] = collections.deque()
        self._exchange: Exchange | None = None  # the one being answered
        self._received: Exchange | None = None  # the one being read
        self._task: asyncio.Task[None] | None = None
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._target = b""
        self._header_bytes = 0
        self._barren = 0  # read within a body since its last piece: chunk extensions and trailers
        self._phase = "idle"  # of reading: idle, header, body
        self._since = server.clock.now
        self._paused_since: float | None = None
        self._unsent_before = 0
        self.ended_by = ""  # the code of our reason to break the connection off
        self._closing = False
        self._lingering = False

    # -- the transport's calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        server = self._server
        server.connections.add(self)
        transport.set_write_buffer_limits(high=server.limits.stream_buffer_bytes)  # type: ignore[attr-defined]
        self._parser = httptools.HttpRequestParser(self)
        if len(server.connections) > server.limits.connections:
            self._refuse(ApiError(503, "Too many open connections.", code="too_many_connections", retry_after=1))

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._header_bytes += len(data)
        if self._phase == "body":
            self._since = self._server.clock.now
            limits = self._server.limits
            if self._header_bytes > WIRE_OVERHEAD * limits.body_bytes + limits.header_bytes:
                self._refuse(too_large(limits.body_bytes))
                return
            self._barren += len(data)
            if self._barren > limits.header_bytes + len(data):
                self._refuse(self._header_too_large())
                return
        unread = None
        try:
            self._parser.feed_data(data)
            if self._phase == "header" and self._header_bytes > self._server.limits.header_bytes:
                self._refuse(self._header_too_large())
        except httptools.HttpParserUpgrade as offer:
            unread = offer.args[0]
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__ or error.__cause__
            if not isinstance(cause, ApiError):
                raise
            self._refuse(cause)
        except httptools.HttpParserError as error:
            self._refuse(_invalid(str(error).rstrip(".")))
        if unread is not None:  # here, because the handling of one error would hide the cause of the next
            self._ignore_offer(data[unread:])

    def eof_received(self) -> None:
        """A half-closed client counts as gone: it can't be told from one that left."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._leave()
        self._parser = None

    def pause_writing(self) -> None:
        self._paused_since = self._server.clock.now
        self._unsent_before = self.unsent()
        if self._exchange is not None and self._exchange.watcher is not None:
            self._exchange.watcher.pause()

    def resume_writing(self) -> None:
        self._paused_since = None
        if self._exchange is not None and self._exchange.watcher is not None:
            self._exchange.watcher.resume()

    # -- the parser's calls ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._phase = "header"
        self._since = self._server.clock.now
        self._headers = []
        self._target = b""

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        exchange = Exchange(self, parser.get_method(), self._target, self._headers)
        version = parser.get_http_version()
        exchange.http10 = version == "1.0"
        exchange.keep_alive = parser.should_keep_alive()
        self._received = exchange
        self._headers = TRAILERS
        self._phase = "body"
        self._barren = 0
        self._since = self._server.clock.now
        limit = self._server.limits.header_bytes
        if self._header_bytes > limit and exchange.header_size(self._target) > limit:
            raise self._header_too_large()
        if version != "1.1" and not exchange.http10:
            raise _invalid(f"HTTP/{version} is not spoken here")
        if parser.should_upgrade():
            return  # see _ignore_offer
        fields = exchange.fields
        if len(fields) < len(exchange.headers):
            _check_repeated(exchange.headers)
        length = fields.get(b"content-length")
        if length is None:
            if b"transfer-encoding" in fields:
                _check_coding(exchange)
        elif len(length) > 19 or int(length) > self._server.limits.body_bytes:
            raise too_large(self._server.limits.body_bytes)
        if b"host" not in fields and not exchange.http10:
            raise _invalid("it has no Host header")
        if fields.get(b"content-encoding", b"identity").lower() != b"identity":
            raise ApiError(415, "Send the body without a Content-Encoding.", code="unsupported_encoding")
        self._server.admit(exchange)
        if (
            b"expect" in fields
            and fields[b"expect"].lower() == b"100-continue"
            and not exchange.http10
            and self._exchange is None
        ):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _ignore_offer(self, rest: bytes) -> None:
        """An offer to upgrade (h2c, websocket) may be ignored, but the parser takes what follows for another protocol.

        A new parser reads the request once more, without the offer.
        """
        offered, self._received = self._received, None
        assert offered is not None
        if offered.method == b"CONNECT":
            self._refuse(ApiError(400, "This server is no proxy.", code="invalid_request"))
            return
        close = not offered.keep_alive or b"close" in offered.fields.get(b"connection", b"").lower()
        lines = [b"%b %b HTTP/%b" % (offered.method, self._target, b"1.0" if offered.http10 else b"1.1")]
        dropped = (b"upgrade", b"connection", b"http2-settings")
        lines += [b"%b: %b" % pair for pair in offered.headers if pair[0] not in dropped]
        lines.append(b"connection: close\r\n\r\n" if close else b"connection: keep-alive\r\n\r\n")
        self._parser = httptools.HttpRequestParser(self)
        self._header_bytes = 0
        self.data_received(b"\r\n".join(lines) + rest)

    def on_body(self, data: bytes) -> None:
        exchange = self._received
        assert exchange is not None
        exchange.length += len(data)
        self._barren = 0
        if exchange.length > self._server.limits.body_bytes:
            raise too_large(self._server.limits.body_bytes)
        self._body.append(data)

    def on_message_complete(self) -> None:
        exchange = self._received
        assert exchange is not None
        if self._parser.should_upgrade():
            return
        body = self._body
        exchange.body = body[0] if len(body) == 1 else b"".join(body)
        self._body = []
        self._received = None
        self._phase = "idle"
        self._header_bytes = 0
        if self._exchange is None:
            self._begin(exchange)
        elif len(self._queue) < QUEUED_REQUESTS and self._queued_bytes() <= self._server.limits.body_bytes:
            self._queue.append(exchange)
        else:
            self._closing = True  # answered up to here, then closed: the client sends the rest again

    # -- the requests ---------------------------------------------------------------------------------------------

    def _begin(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._task = self._loop.create_task(self._server.answer(exchange))

    def exchange_over(self, exchange: Exchange) -> None:
        """Called by the exchange when its answer is complete."""
        if self._exchange is not exchange:
            return
        self._exchange = None
        self._task = None
        self._since = self._server.clock.now
        if not exchange.keep_alive or (self._closing and not self._queue):
            self._closing = True
            self._queue.clear()
            self.transport.close()
        elif self._queue:
            self._begin(self._queue.popleft())

    def shutdown(self) -> None:
        """No more requests than those that have begun to come: closes after the last of them, now if there is none."""
        last = self._received or (self._queue[-1] if self._queue else self._exchange)
        if last is not None:
            last.keep_alive = False
        elif self._phase == "idle" and not self._closing:
            self._closing = True
            self.transport.close()

    def give_up(self, error: ApiError) -> None:
        """Ends what is under way at once, so that the client can see it: with an error, or an error event."""
        exchange, task = self._exchange, self._task
        self._queue.clear()
        if exchange is None:
            if self._phase != "idle" and not self._closing:
                self._refuse(error)
            self.shutdown()
            return
        self._closing = True
        self.ended_by = error.code
        exchange.keep_alive = False
        if exchange.watcher is not None and exchange.watcher.stop(error):
            return
        if exchange.started:
            exchange.reset()
        else:
            exchange.reply_error(error)
        if task is not None:
            task.cancel()

    def tick(self, now: float) -> None:
        """Ends what waited too long. What the model server owes is the exchange's watcher's business."""
        timeouts = self._server.timeouts
        if self._paused_since is not None and self.unsent() < self._unsent_before:
            self._paused_since = now  # the client reads, if slowly
            self._unsent_before = self.unsent()
        if self._paused_since is not None and now - self._paused_since > timeouts.write_stall:
            self.ended_by = "write_stall"
            self.transport.abort()
        elif self._exchange is not None:
            if self._exchange.watcher is not None:
                self._exchange.watcher.tick(now)
        elif self._closing:
            if now - self._since > (LINGER if self._lingering else timeouts.write_stall):
                self.transport.abort()
        elif self._phase == "header" and now - self._since > timeouts.header:
            self._refuse(
                ApiError(408, f"The request's head took longer than {timeouts.header:g} s.", code="header_timeout")
            )
        elif self._phase == "body" and now - self._since > timeouts.body_idle:
            self._refuse(ApiError(408, f"No byte of the body came for {timeouts.body_idle:g} s.", code="body_timeout"))
        elif self._phase == "idle" and now - self._since > timeouts.keep_alive:
            self._closing = True
            self.transport.close()

    @property
    def paused(self) -> bool:
        return self._paused_since is not None

    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def _queued_bytes(self) -> int:
        return sum(exchange.length for exchange in self._queue)

    def _header_too_large(self) -> ApiError:
        limit = self._server.limits.header_bytes
        return ApiError(431, f"The request's header is larger than {limit:,} bytes.", code="header_too_large")

    def _refuse(self, error: ApiError) -> None:
        """Answers what can't be read to its end, unless an earlier answer is under way, and closes.

        The sending side is closed first and what still comes is thrown away for a while: closing at once would reset
        the connection, and the client would lose the answer that tells it why.
        """
        self._closing = True
        self._queue.clear()
        self._since = self._server.clock.now
        self._body = []
        received, self._received = self._received, None
        if self._exchange is not None:
            self._exchange.keep_alive = False
            return
        exchange = received or Exchange(self, b"", b"", [])
        exchange.keep_alive = False
        self._server.refused(exchange, error)
        exchange.reply_error(error)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._lingering = True

    def _leave(self) -> None:
        self._closing = True
        self._queue.clear()
        exchange, task = self._exchange, self._task
        self._exchange = self._task = None
        if exchange is not None and exchange.watcher is not None:
            exchange.watcher.gone()
        if task is not None:
            task.cancel()


def _invalid(reason: str) -> ApiError:
    return ApiError(400, f"The request is not valid HTTP/1.1: {reason}.", code="invalid_http")


def _check_repeated(headers: Headers) -> None:
    """Refuses a second one of those that decide: another server on the way may have gone by the first."""
    names = [name for name, _ in headers]
    for name in SAID_ONCE:
        if names.count(name) > 1:
            raise _invalid(f"it has more than one {name.decode().title()} header")


def _check_coding(exchange: Exchange) -> None:
    """The parser takes any list that ends in `chunked`, and for HTTP/1.0, which has no chunks, too."""
    coding = exchange.fields[b"transfer-encoding"]
    if exchange.http10 or coding.lower() != b"chunked":
        raise _invalid("its Transfer-Encoding may only be `chunked`, and that not before HTTP/1.1")
