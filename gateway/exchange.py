"""One request and its answer, as the client's connection carries them."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Protocol

from gateway.errors import ApiError
from gateway.telemetry.traces import Sent, Trace

STATUS_LINE = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}

Headers = list[tuple[bytes, bytes]]


class Watcher(Protocol):
    """What a running exchange wants to be told. ``tick`` comes every quarter of a second."""

    def tick(self, now: float) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def gone(self) -> None: ...

    def stop(self, error: ApiError) -> bool:
        """Ends the answer with this error; False if no model server is at it yet."""


class Carrier(Protocol):
    """The connection that an exchange belongs to."""

    transport: asyncio.Transport
    ended_by: str

    @property
    def paused(self) -> bool: ...

    def exchange_over(self, exchange: Exchange) -> None: ...


def _origin_form(path: bytes) -> bytes:
    """Without scheme and authority, with which a client may write its target too (RFC 9112, section 3.2.2)."""
    scheme, colon, rest = path.partition(b"://")
    if not colon or scheme.lower() not in (b"http", b"https"):
        return path
    return b"/" + rest.partition(b"/")[2]


class Exchange:
    """One request and its answer. ``path`` has no query; header names are lower case."""

    __slots__ = (
        "_chunked",
        "_head",
        "attempts",
        "body",
        "connection",
        "fields",
        "finished",
        "headers",
        "http10",
        "keep_alive",
        "key_name",
        "length",
        "method",
        "path",
        "query",
        "request_id",
        "shadow",
        "started",
        "status",
        "trace",
        "watcher",
    )

    def __init__(self, connection: Carrier, method: bytes, target: bytes, headers: Headers) -> None:
        self.connection = connection
        self.method = method
        self.path, _, self.query = target.partition(b"?")
        if not target.startswith(b"/"):
            self.path = _origin_form(self.path)
        self.headers = headers
        self.fields = dict(headers)  # of headers sent twice the last
        self.body = b""
        self.http10 = False
        self.keep_alive = True
        self.length = 0
        self.request_id = b""
        self.key_name = ""
        self.shadow = False  # a mirrored request or a canary of our own: not live traffic
        self.started = self.finished = self._chunked = False
        self.status = 0
        self._head: bytes | None = None
        self.watcher: Watcher | None = None
        self.trace: Trace | None = None
        self.attempts: list[Sent] = []

    def header_size(self, target: bytes) -> int:
        return len(target) + sum(len(name) + len(value) for name, value in self.headers)

    def start(self, status: int, lines: bytes, length: int | None) -> None:
        """Begins the answer. ``lines`` are complete header lines; ``length`` is that of the body, None if unknown.

        The head is sent with the first piece of the body, or by `flush`.
        """
        self.started = True
        self.status = status
        if length is not None:
            framing = b"content-length: %d\r\n" % length
        elif self.http10:
            framing = b""
            self.keep_alive = False
        else:
            framing = b"transfer-encoding: chunked\r\n"
            self._chunked = True
        if not self.keep_alive:
            framing += b"connection: close\r\n"
        elif self.http10:
            framing += b"connection: keep-alive\r\n"
        self._head = b"%b%b%b\r\n" % (STATUS_LINE.get(status) or b"HTTP/1.1 %d \r\n" % status, lines, framing)

    def write(self, data: bytes) -> None:
        """Sends a piece of the body; an empty piece sends nothing."""
        if not data:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._head is not None:
            data = self._head + data
            self._head = None
        self.connection.transport.write(data)

    def flush(self) -> None:
        if self._head is not None:
            self.connection.transport.write(self._head)
            self._head = None

    def finish(self, last: bytes = b"") -> None:
        """Ends the body, with a last piece if there is one, and gives the connection to the next request."""
        if self._chunked:
            last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last) if last else b"0\r\n\r\n"
        if self._head is not None:
            last = self._head + last
            self._head = None
        if last:
            self.connection.transport.write(last)
        self.finished = True
        self.connection.exchange_over(self)

    def reset(self) -> None:
        """Breaks the connection off: the client must not take what it has for a whole answer."""
        self.finished = True
        self.keep_alive = False
        self.connection.transport.abort()
        self.connection.exchange_over(self)

    def fault(self) -> None:
        """Our own mistake: a 500 where that can still be said, else a reset."""
        if self.finished:
            return
        if self.started:
            self.reset()
        else:
            self.reply_error(ApiError(500, "The gateway failed; its log has the reason.", code="internal_error"))

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        lines = b"".join([b"%b: %b\r\n" % pair for pair in headers if pair[0] != b"content-length"])
        if self.request_id:
            lines += b"x-request-id: %b\r\n" % self.request_id
        self.start(status, lines, len(body))
        self.finish(b"" if self.method == b"HEAD" else body)

    def reply_error(self, error: ApiError) -> None:
        if error.close:
            self.keep_alive = False
        self.reply(error.status, error.headers(), error.body())
