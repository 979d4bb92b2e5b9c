"""Server-sent events as they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Lines(Protocol):
    """geventhttpclient's response. Its own `readline` looks for CRLF unless told otherwise, and so would wait for the
    stream's end; `iter_lines` of requests, which locust's other client has, waits for a block of 512 bytes."""

    def readline(self, sep: bytes) -> bytes: ...


def events(response: Lines) -> Iterator[bytes]:
    """The data of each event. Comments (keep-alives) and other fields are passed over; an event that the stream's end
    cuts off is not one."""
    data: list[bytes] = []
    while line := response.readline(b"\n"):
        line = line.rstrip(b"\r\n")
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data)
            data = []
