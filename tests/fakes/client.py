"""A client at the wire: sends exactly the bytes it is told to, when it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from tests.fakes.http import Message, read_message

DEADLINE = 10.0


async def until(condition: Callable[[], Any], seconds: float = DEADLINE) -> None:
    """Turns the loop until the condition holds; fails at the deadline."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, f"not within {seconds:g} s: {condition}"
        await asyncio.sleep(0)


def post(
    path: str, body: bytes, headers: Sequence[tuple[str, str]] = (), *, version: str = "1.1", length: bool = True
) -> bytes:
    """A request's bytes with a JSON body."""
    lines = [f"POST {path} HTTP/{version}", "host: gateway", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers]
    if length:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def get(path: str, headers: Sequence[tuple[str, str]] = (), *, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: gateway", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode()


def chat(model: str = "auto", content: str = "hello", **fields: Any) -> bytes:
    """A chat request's body."""
    value = {"model": model, "messages": [{"role": "user", "content": content}], **fields}
    return json.dumps(value).encode()


class Client:
    """One connection to the gateway."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 26)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.transport.abort()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self, *, bodiless: bool = False) -> Message | None:
        """The next answer, None if the gateway closed instead."""
        async with asyncio.timeout(DEADLINE):
            try:
                return await read_message(self.reader, bodiless=bodiless)
            except ConnectionError:
                return None

    async def answer(self, *, bodiless: bool = False) -> Message:
        message = await self.read(bodiless=bodiless)
        assert message is not None, "the gateway closed the connection without an answer"
        return message

    async def ask(self, data: bytes) -> Message:
        self.send(data)
        return await self.answer(bodiless=data.startswith(b"HEAD"))

    async def head(self) -> bytes:
        """The head of an answer whose body goes on."""
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def frame(self) -> bytes:
        """The next chunk of a chunked body, which is one write of the gateway's."""
        async with asyncio.timeout(DEADLINE):
            size = int((await self.reader.readuntil(b"\r\n"))[:-2], 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def closed(self) -> bool:
        """Waits for the end of the connection. True if nothing came before it."""
        async with asyncio.timeout(DEADLINE):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True

    def drop(self) -> None:
        """Leaves at once (RST where data is unread)."""
        self.writer.transport.abort()

    def half_close(self) -> None:
        self.writer.write_eof()
