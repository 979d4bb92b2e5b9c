"""The model server's side: HTTP/1.1 as a client, one attempt at a time.

An own client on asyncio's protocols, because it is most of what a gateway costs: httpx takes 1.2 ms of CPU a request,
aiohttp 0.3, this one about 0.03. It speaks only what model servers speak: no redirects, no cookies, no compression.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

import httptools

from gateway.clock import Clock
from gateway.config import TimeoutSettings

_JOINED = 64 * 1024  # bytes up to which one copy is cheaper than several pieces
TRAILERS: Any = deque(maxlen=0)  # takes the place of an answer's header list, and keeps nothing

USUAL_CONNECTION = frozenset({b"close", b"keep-alive"})  # values of a Connection header that name no other header

Headers = list[tuple[bytes, bytes]]
Pieces = Sequence[bytes | memoryview]


def end_to_end(headers: Headers) -> Headers:
    """Without those that a Connection header names: they are of one connection only (RFC 9110, section 7.6.1)."""
    named = {word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")}
    return [pair for pair in headers if pair[0] not in named]


class Unsent(ConnectionError):
    """No byte of an answer came and the model server can't have worked on the request: another attempt is safe."""


class Broken(ConnectionError):
    """The answer did not come to its end. ``started`` tells whether its head had come."""


class Sink(Protocol):
    """Takes an answer's body. ``end`` comes once: None after a complete answer, else what went wrong."""

    def feed(self, data: bytes) -> None: ...
    def end(self, error: Exception | None) -> None: ...


class Endpoint:
    """One address of a model server, with its idle connections.

    ``up`` is what the last look at its /v1/models said; its served name and ``window`` came from there or the config.
    """

    def __init__(
        self, host: str, port: int, *, prefix: str = "", tls: ssl.SSLContext | None = None, api_key: str = ""
    ) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.prefix = prefix
        self.address = f"{host}:{port}"
        self.address_bytes = self.address.encode()
        self.configured_name: str | None = None
        self.served_json = b""  # the served name as it stands in a body
        self.window: int | None = None
        self.up = False
        self.in_flight = 0
        self.idle: list[UpstreamConnection] = []
        authorization = f"authorization: Bearer {api_key}\r\n" if api_key else ""
        default_port = 443 if tls else 80
        name = f"[{host}]" if ":" in host else host
        self.host_header = name if port == default_port else f"{name}:{port}"
        self._head_lines = f"host: {self.host_header}\r\naccept-encoding: identity\r\n{authorization}".encode()
        self._heads: dict[str, bytes] = {}

    def request_head(self, route: str, method: str = "POST") -> bytes:
        """Request line and the header lines that are the same for each request of this route to this endpoint."""
        head = self._heads.get(route)
        if head is None:
            head = self._heads[route] = f"{method} {self.prefix}{route} HTTP/1.1\r\n".encode() + self._head_lines
        return head


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
        self._incoming: Any = []
        self.complete = False
        self.length: int | None = None
        self._until_close = False
        self._keep = False
        self._surplus = False
        self._received = False
        self._error = None

    # -- the parser's calls ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            self._surplus = True

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
            self.fail(Broken(f"the model server's answer is not valid HTTP/1.1: {error}"))
            return
        if self._sink is not None:
            self._deliver()

    def _deliver(self) -> None:
        sink, bodies = self._sink, self._bodies
        assert sink is not None
        if bodies:
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
            self.fail(Unsent("a kept connection had gone stale"))
        else:
            self.fail(Broken("the model server closed the connection before its answer was complete"))

    # -- an attempt's calls ---------------------------------------------------------------------------------------

    async def send(self, pieces: Pieces) -> None:
        """Sends a request and waits for the head of its answer: `status`, `headers`, `length` (None if chunked).

        Raises `Unsent`, `Broken`, or what `fail` was called with.
        """
        self._reset()
        self.since = self._clock.now
        self._head = self._loop.create_future()
        if sum(map(len, pieces)) <= _JOINED:
            self.transport.write(b"".join(pieces))
        else:
            self.transport.writelines(pieces)
        await self._head

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


class Attempt:
    """One send to one endpoint, as a scope: counted in flight, its connection kept or closed at the end."""

    __slots__ = ("_open", "connection", "endpoint")

    def __init__(self, endpoint: Endpoint, connection: UpstreamConnection) -> None:
        self.endpoint = endpoint
        self.connection = connection
        self._open = True
        endpoint.in_flight += 1

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self.endpoint.in_flight -= 1
        connection = self.connection
        if connection.reusable():
            connection.put_aside()
            self.endpoint.idle.append(connection)
        else:
            connection.close()

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Upstream:
    """Opens connections, and keeps idle ones for less long than the model server would."""

    def __init__(self, clock: Clock, timeouts: TimeoutSettings) -> None:
        self._clock = clock
        self._timeouts = timeouts

    async def connect(self, endpoint: Endpoint, *, fresh: bool = False) -> UpstreamConnection:
        """An idle connection (the last used first), or a new one. Raises `Unsent` if there can't be one."""
        idle = endpoint.idle
        oldest = self._clock.now - self._timeouts.upstream_idle
        while idle and not fresh:
            connection = idle.pop()
            if not connection.closed and connection.since > oldest:
                return connection
            connection.close()
        try:
            async with asyncio.timeout(self._timeouts.connect):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: UpstreamConnection(self._clock),
                    endpoint.host,
                    endpoint.port,
                    ssl=endpoint.tls,
                    server_hostname=endpoint.host if endpoint.tls else None,
                )
        except (OSError, ssl.SSLError) as error:  # TimeoutError is an OSError
            reason = str(error) or f"no connection within {self._timeouts.connect:g} s"
            raise Unsent(f"{endpoint.address}: {reason}") from None
        return connection

    async def fetch(
        self, endpoint: Endpoint, method: str, route: str, body: bytes | None = None, *, seconds: float = 5.0
    ) -> tuple[int, bytes]:
        """One small request of our own: its status and whole body. Raises `Unsent`, `Broken` or TimeoutError."""
        head = endpoint.request_head(route, method)
        if body is not None:
            head += b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        async with asyncio.timeout(seconds):
            connection = await self.connect(endpoint)
            with Attempt(endpoint, connection):
                await connection.send([head + b"\r\n" + (body or b"")])
                collected = Collected()
                connection.deliver_to(collected)
                return connection.status, await collected.body

    def close_idle(self, endpoints: Sequence[Endpoint]) -> None:
        oldest = self._clock.now - self._timeouts.upstream_idle
        for endpoint in endpoints:
            for connection in endpoint.idle:
                if connection.since <= oldest:
                    connection.close()
            endpoint.idle = [connection for connection in endpoint.idle if not connection.closed]


class Collected:
    """A sink that waits for the whole body."""

    def __init__(self) -> None:
        self.body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self._parts.append(data)

    def end(self, error: Exception | None) -> None:
        if self.body.done():
            return
        if error is None:
            self.body.set_result(b"".join(self._parts))
        else:
            self.body.set_exception(error)
