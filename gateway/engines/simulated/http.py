"""The HTTP side that all routes share: raw ASGI in, JSON or server-sent events out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec
from litestar.types import Receive, Send

from gateway.engines.simulated.errors import EngineError, invalid_body

Headers = list[tuple[bytes, bytes]]
_VARY = (b"vary", b"Origin")
DONE = b"data: [DONE]\n\n"


@dataclass
class Call:
    """One request: its headers (lower-case names), its whole body, and the way to answer."""

    headers: dict[bytes, bytes]
    body: bytes
    receive: Receive
    send: Send
    method: str = ""
    query: bytes = b""
    extra_headers: Headers = field(default_factory=list)
    started: bool = False

    async def json(self, body: Any, status: int = 200) -> None:
        await self.answer(status, msgspec.json.encode(body), [(b"content-type", b"application/json")])

    async def fail(self, error: EngineError) -> None:
        content_type = [(b"content-type", b"application/json")] if error.body else []
        await self.answer(error.status, error.body, [*content_type, *error.headers])

    async def answer(self, status: int, body: bytes, headers: Headers) -> None:
        length = (b"content-length", str(len(body)).encode())
        await self._start(status, [length, *headers])
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def start_stream(self) -> None:
        """The headers of a stream go out before its first event exists, as vLLM's do."""
        await self._start(200, [(b"content-type", b"text/event-stream; charset=utf-8")])

    async def event(self, value: Any) -> None:
        await self._body(b"data: " + msgspec.json.encode(value) + b"\n\n", more=True)

    async def refuse(self, error: EngineError, *, begun: bool) -> None:
        """What the engine refuses. If a stream has begun by then, that is an event, in the JSON module's own layout."""
        if not begun:
            raise error
        await self.start_stream()
        await self._body(b"data: " + json.dumps(error.value).encode() + b"\n\n", more=True)
        await self.end_stream()

    async def end_stream(self) -> None:
        await self._body(DONE, more=True)
        await self._body(b"", more=False)

    async def _start(self, status: int, headers: Headers) -> None:
        self.started = True
        everything = [*headers, _VARY, *self.extra_headers]
        await self.send({"type": "http.response.start", "status": status, "headers": everything})

    async def _body(self, body: bytes, *, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    def require_json(self) -> None:
        """vLLM answers another content type with 400, not 415."""
        media_type = self.headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if media_type != b"application/json":
            raise invalid_body(["Unsupported Media Type: Only 'application/json' is allowed"], None)


async def read_body(receive: Receive) -> bytes | None:
    """The whole body, or None if the client left before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if message["type"] != "http.request":
            continue
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def gone(receive: Receive) -> None:
    """Waits until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Run ``work``, and cancel it as soon as the client leaves, whether or not anything was sent by then.

    Watching ``receive`` is the only sign that also comes when a client leaves without reading.
    Raises what ``work`` raises.
    """
    failures: list[Exception] = []

    async def worked() -> None:
        try:
            await work
        except Exception as error:
            failures.append(error)
        finally:
            watcher.cancel()

    async def watched() -> None:
        await gone(receive)
        worker.cancel()

    async with asyncio.TaskGroup() as group:
        worker = group.create_task(worked())
        watcher = group.create_task(watched())
    if failures:
        raise failures[0]
