"""A transport that keeps what is written and does what it is told: for tests that choose each read of a peer's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from gateway.clock import Clock
from gateway.config import LimitSettings, TimeoutSettings


class Recorded(asyncio.Transport):
    """``unsent`` stands for what the kernel has not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.unsent = 0
        self.reading = True
        self.ended = ""  # "", "close" or "abort"

    def write(self, data: Any) -> None:
        assert not self.ended, "a write after the end"
        self.written += data

    def writelines(self, pieces: Iterable[Any]) -> None:
        for piece in pieces:
            self.write(piece)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = self.ended or "close"

    def abort(self) -> None:
        self.ended = "abort"

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return False


class ServerParts:
    """What a connection needs of its server, where no request is ever begun."""

    def __init__(self) -> None:
        self.clock = Clock(1000.0)
        self.limits = LimitSettings()
        self.timeouts = TimeoutSettings()
        self.connections: set[Any] = set()

    def admit(self, exchange: Any) -> None:
        pass

    async def answer(self, exchange: Any) -> None:
        pass

    def refused(self, exchange: Any, error: Any) -> None:
        pass
