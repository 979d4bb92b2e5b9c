"""How an answer breaks at the wire: between the routes, which answer well, and the server's transport."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

from litestar.types import Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.engines.simulated.errors import (
    EngineError,
    engine_dead,
    generation_failed,
    internal,
    overloaded,
    prompt_too_long,
    rate_limited,
)
from gateway.engines.simulated.faults import Fault
from gateway.engines.simulated.speed import Clock

_NO_HTTP = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03not a word of HTTP\r\n\r\n"
_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
_NO_CHUNK = b"no-size-of-a-chunk\r\n{"
_NO_JSON = b'{"id": "chatcmpl-'
_TRANSPORT = "yardstick.transport"
_TURNS = 1_000  # of the loop, in which what was written may leave before a reset; a client may not be reading
_LAST_EVENT = b"data: [DONE]"


def refusal(fault: Fault, window: int) -> EngineError | None:
    """The error answer that a fault is, if it is one."""
    if fault.kind == "rate-limited":
        return rate_limited(1 if fault.retry_after is None else fault.retry_after)
    if fault.kind == "overloaded":
        return overloaded(retry_after=fault.retry_after)
    if fault.kind == "internal-error":
        return internal("Internal server error")
    if fault.kind == "unhealthy":
        return engine_dead()
    return prompt_too_long(window, window + 1) if fault.kind == "context-overflow" else None


class Sabotaged:
    """Takes the place of a request's ``send``. Once it has struck, it waits for the client to be gone.

    uvicorn writes what it is sent at once and in order, so bytes that are written to the transport itself stand where
    they are meant to.
    """

    def __init__(self, fault: Fault, send: Send, transport: asyncio.Transport, clock: Clock) -> None:
        self._fault = fault
        self._send = send
        self._transport = transport
        self._clock = clock
        self._head: Any = None
        self._streams = False
        self._bodies = 0
        self._before = clock.now()
        self._over = False
        self._harmless = False

    async def __call__(self, message: Any) -> None:
        if self._over:
            return
        if self._harmless:
            await self._send(message)
        elif self._fault.kind == "slow":
            await self._delay()
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._start(message)
        else:
            await self._body(message)

    async def _delay(self) -> None:
        """As long again as it took to come here, times the factor less one."""
        await self._clock.sleep((self._clock.now() - self._before) * (self._fault.factor - 1))
        self._before = self._clock.now()

    async def _start(self, message: Any) -> None:
        kind = self._fault.kind
        self._streams = not any(name == b"content-length" for name, _ in message["headers"])
        if kind == "reset-before-head":
            await self._reset()
        elif kind == "stall-before-head":
            await _forever()
        elif kind == "garbage-head":
            await self._close(_NO_HTTP)
        elif kind == "garbage-chunk" and not self._streams:
            await self._close(_CHUNKED_HEAD + _NO_CHUNK)
        elif kind == "error-event" and not self._streams:
            self._head = message  # gives way to the 500
        else:
            await self._send(message)
            if kind == "reset-after-head":
                await self._reset()

    async def _body(self, message: Any) -> None:
        body = message.get("body", b"")
        last = body.startswith(_LAST_EVENT) or not message["more_body"]
        if self._bodies < self._fault.after and not last:
            self._bodies += 1
            await self._send(message)
        elif self._streams:
            await self._strike_stream(message)
        else:
            await self._strike_whole(message, body)

    async def _strike_stream(self, message: Any) -> None:
        kind = self._fault.kind
        if kind == "garbage-chunk":
            await self._close(_NO_CHUNK)
        elif kind == "garbage-frame":
            await self._send(_piece(b"data: " + _NO_JSON + b"\n\n"))
            await self._send(message)
            self._harmless = True  # the stream ends as it would have
        elif kind == "error-event":
            # Not shortened: vLLM 0.32 sends [DONE] behind the error as well (both stream generators of
            # entrypoints/openai, {chat_completion,completion}/serving.py), and encodes the error with json.dumps.
            event = json.dumps(generation_failed().value).encode()
            await self._send(_piece(b"data: " + event + b"\n\n" + _LAST_EVENT + b"\n\n"))
            await self._send(_piece(b"", more=False))
            self._over = True
        else:
            await self._break_off()

    async def _strike_whole(self, message: Any, body: bytes) -> None:
        kind = self._fault.kind
        if kind == "garbage-frame":
            broken = _NO_JSON.ljust(len(body))[: len(body)]  # of the promised length
            await self._send(_piece(broken, more=False))
        elif kind == "error-event":
            error = generation_failed()
            length = str(len(error.body)).encode()
            others = [pair for pair in self._head["headers"] if pair[0] != b"content-length"]
            headers = [(b"content-length", length), *others]
            self._head.update(status=error.status, headers=headers)
            await self._send(self._head)
            await self._send(_piece(error.body, more=False))
        else:
            await self._send(_piece(body[: len(body) // 2]))
            await self._break_off()

    async def _break_off(self) -> None:
        """Mid-stream, behind what was sent."""
        if self._fault.kind == "stall-mid-stream":
            await _forever()
        elif self._fault.kind == "truncate":
            await self._close(b"")
        else:
            await self._reset()

    async def _close(self, last: bytes) -> None:
        self._over = True
        self._transport.write(last)
        self._transport.close()
        await _forever()

    async def _reset(self) -> None:
        self._over = True
        await reset(self._transport)
        await _forever()


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which lets the application at its transport."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_TRANSPORT: {"transport": self.transport}}


def transport_of(scope: Scope) -> asyncio.Transport:
    """The connection of a request that `Protocol` read."""
    extensions: Any = scope.get("extensions") or {}
    transport: asyncio.Transport = extensions[_TRANSPORT]["transport"]
    return transport


async def reset(transport: asyncio.Transport) -> None:
    """Ends a connection with RST, behind what was written: without lingering, a close discards and resets."""
    for _ in range(_TURNS):
        if transport.get_write_buffer_size() == 0 or transport.is_closing():
            break
        await asyncio.sleep(0)
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _piece(body: bytes, *, more: bool = True) -> Any:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def _forever() -> None:
    """Until cancelled, which is what happens when the client leaves."""
    await asyncio.get_running_loop().create_future()
