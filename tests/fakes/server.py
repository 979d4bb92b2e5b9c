"""A model server at the wire: records each request's bytes and answers with whatever a script writes, sense or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from tests.fakes.http import Message, read_message

MODEL = "codegeex4-all-9b"


@dataclass
class Seen:
    """One request as it came: ``raw`` is all of its bytes."""

    message: Message
    wire: Wire

    @property
    def raw(self) -> bytes:
        return self.message.raw

    @property
    def path(self) -> bytes:
        return self.message.start.split()[1]

    @property
    def body(self) -> bytes:
        return self.message.body

    def header(self, name: bytes) -> bytes | None:
        return self.message.header(name)


Script = Callable[[Seen], Awaitable[None]]


class Wire:
    """The fake's end of one connection. ``closed`` is set once the other side, or this one, has ended it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self._reader = reader
        self._writer = writer
        self.number = number
        self.closed = asyncio.Event()

    async def send(self, *pieces: bytes) -> None:
        """Each piece leaves by itself, and the loop turns so that the other side can read it by itself."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            for _ in range(4):
                await asyncio.sleep(0)

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Waits until the gateway has closed, without reading for the script's sake."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.closed.set()


@dataclass
class FakeServer:
    """``script`` answers what is not asked of /v1/models or /tokenize; those have answers of their own to change.

    ``tool_parser``: whether it tells to have one (None: it does not tell).
    """

    name: str = MODEL
    window: int | None = 32768
    script: Script | None = None
    models: bytes | None = None
    tokenize: Callable[[bytes], Awaitable[bytes]] | None = None
    health: int = 200
    tool_parser: bool | None = None
    requests: list[Seen] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    asked_models: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> FakeServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Refuses from now on, and resets what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for wire in self.wires:
            wire.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        wire = Wire(reader, writer, len(self.wires))
        self.wires.append(wire)
        try:
            while not writer.transport.is_closing():
                message = await read_message(reader)
                if message is None:
                    break
                await self._answer(Seen(message, wire))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            wire.closed.set()
            writer.close()
            self._tasks.discard(task)

    async def _answer(self, seen: Seen) -> None:
        if seen.path.endswith(b"/v1/models"):
            self.asked_models += 1
            await seen.wire.send(answer(self.models if self.models is not None else models(self.name, self.window)))
        elif seen.path == b"/health":
            await seen.wire.send(answer(b"", self.health))
        elif seen.path.endswith(b"/tokenize"):
            count = json.dumps({"count": len(seen.body) // 4, "max_model_len": self.window, "tokens": None}).encode()
            await seen.wire.send(answer(count if self.tokenize is None else await self.tokenize(seen.body)))
        elif b'"yardstick_probe"' in seen.body:
            await seen.wire.send(answer(*_ABOUT_TOOLS[self.tool_parser]))
        else:
            self.requests.append(seen)
            self.arrived.set()
            await (self.script or says(answer(unary())))(seen)


def _refusal(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}}).encode()


_ABOUT_TOOLS = {
    None: (b'{"detail":"Not Found"}', 404),
    False: (_refusal('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'), 400),
    True: (
        _refusal("Cannot apply chat template to an empty conversation. Provide at least one message."),
        400,
    ),
}


# -- answers ------------------------------------------------------------------------------------------------------


def says(*pieces: bytes, then: str = "") -> Script:
    """A script that sends these pieces; ``then`` is "close" or "reset"."""

    async def script(seen: Seen) -> None:
        await seen.wire.send(*pieces)
        if then == "close":
            seen.wire.close()
        elif then == "reset":
            seen.wire.reset()

    return script


async def silence(seen: Seen) -> None:
    """Answers nothing until the gateway goes."""
    await seen.wire.gone()


def answer(body: bytes, status: int = 200, kind: str = "application/json", extra: bytes = b"") -> bytes:
    """A whole answer with a content-length. ``extra``: complete header lines."""
    head = b"HTTP/1.1 %d X\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b\r\n" % (
        status,
        kind.encode(),
        len(body),
        extra,
    )
    return head + body


def chunked_head(kind: str = "text/event-stream; charset=utf-8", extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%btransfer-encoding: chunked\r\n\r\n" % (kind.encode(), extra)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


def models(name: str, window: int | None) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name, "object": "model", "max_model_len": window}]}).encode()


def unary(text: str = "def f(): ...", prompt: int = 7, completion: int = 3) -> bytes:
    usage = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    value = {"id": "c-1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
    return json.dumps({**value, "usage": usage}, separators=(",", ":")).encode()


def content_frame(text: str, *, null_usage: bool = False, end: bytes = b"\n\n") -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    value = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
    if null_usage:
        value["usage"] = None
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + end


def usage_frame(prompt: int = 7, completion: int = 3, end: bytes = b"\n\n") -> bytes:
    usage = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    value = {
        "id": "c-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [],
        "usage": usage,
    }
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + end


DONE = b"data: [DONE]\n\n"


def stream(frames: Iterable[bytes], extra: bytes = b"") -> tuple[bytes, ...]:
    """The pieces of a chunked stream, one frame a chunk."""
    return (chunked_head(extra=extra), *(chunk(frame) for frame in frames), LAST)
