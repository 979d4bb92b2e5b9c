"""The unix socket on which the gateway's processes hand over what they saw."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from gateway.shadow.tap.frames import Counted, Exposition, Frames, Missed, Observed, frame

_PIECE = 256 * 1024
Taken = Observed | Counted | Missed


class Receiver:
    """Hands every message to `take`, in order for each gateway process. A peer that sends nonsense is cut off.

    `take` may be slow: what is not read waits in the sockets, and the taps drop what does not fit there.
    """

    def __init__(self, socket: Path, take: Callable[[Taken], None]) -> None:
        self._socket, self._take = socket, take
        self._writers = set[asyncio.StreamWriter]()

    async def run(self) -> None:
        """Until it is cancelled. Raises OSError if it can't listen there."""
        self._socket.unlink(missing_ok=True)  # a process before this one may have been killed
        server = await asyncio.start_unix_server(self._peer, str(self._socket), limit=_PIECE)
        try:
            async with server:
                await server.serve_forever()
        finally:
            for writer in tuple(self._writers):
                writer.close()
            self._socket.unlink(missing_ok=True)

    def expose(self, text: bytes) -> None:
        """Our metrics, for every gateway process to show. Who does not read them gets newer ones later."""
        for writer in tuple(self._writers):
            if not writer.transport.get_write_buffer_size():
                writer.write(frame(Exposition(text)))

    async def _peer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = Frames()
        self._writers.add(writer)
        with contextlib.suppress(OSError, ValueError):
            while data := await reader.read(_PIECE):
                for message in frames.feed(data):
                    if not isinstance(message, Exposition):
                        self._take(message)
                    await asyncio.sleep(0)  # matching takes milliseconds, and others have something to do
        self._writers.discard(writer)
        writer.close()
