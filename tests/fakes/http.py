"""Just enough HTTP/1.1 to read what comes over a wire, exactly as it came; strict about what a peer could get wrong."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Message:
    """A request or an answer. ``raw`` holds every byte; ``whole`` is False where it broke off."""

    start: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    raw: bytes = b""
    whole: bool = True
    pieces: list[bytes] = field(default_factory=list)  # the chunks of a chunked body

    @property
    def status(self) -> int:
        return int(self.start.split()[1])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error, after a look at its whole shape."""
        assert self.header(b"content-type") == b"application/json", self.headers
        value = self.json
        assert list(value) == ["error"], value
        error = value["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        assert isinstance(error["message"], str)
        assert error["message"]
        assert isinstance(error["type"], str)
        assert isinstance(error["code"], str)
        assert error["param"] is None or isinstance(error["param"], str)
        return dict(error)

    def header(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key.lower() == name]
        assert len(values) <= 1, f"{name!r} occurs more than once"
        return values[0] if values else None

    @property
    def names(self) -> list[bytes]:
        return [name.lower() for name, _ in self.headers]


async def read_message(reader: asyncio.StreamReader, *, bodiless: bool = False) -> Message | None:
    """The next message, None at a clean end before one. A body without framing lasts until the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        return Message(b"", [], raw=error.partial, whole=False)
    start, *lines = head[:-4].split(b"\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        assert colon, line
        assert name == name.strip(), line
        headers.append((name, value.strip()))
    message = Message(start, headers, raw=head)
    answer = start.startswith(b"HTTP/")
    if bodiless or (answer and (100 <= message.status < 200 or message.status in (204, 304))):
        return message
    length, encoding = message.header(b"content-length"), message.header(b"transfer-encoding")
    assert length is None or encoding is None, "both framings"
    try:
        if encoding is not None:
            assert encoding == b"chunked"
            await _read_chunks(reader, message)
        elif length is not None:
            message.body = await reader.readexactly(int(length))
            message.raw += message.body
        elif answer:
            await _read_to_the_end(reader, message)
    except asyncio.IncompleteReadError as error:
        message.whole = False
        message.raw += error.partial
        if encoding is None:
            message.body += error.partial
    except ConnectionError:
        message.whole = False
    return message


async def _read_to_the_end(reader: asyncio.StreamReader, message: Message) -> None:
    while piece := await reader.read(65536):
        message.body += piece
        message.raw += piece


async def _read_chunks(reader: asyncio.StreamReader, message: Message) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line[:-2], 16)
        data = await reader.readexactly(size + 2)
        assert data[-2:] == b"\r\n"
        message.raw += line + data
        if not size:
            return
        message.body += data[:-2]
        message.pieces.append(data[:-2])
