"""Slots that threads start for themselves, and that all can be interrupted: none is started after that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from gateway.shadow.score.check import Runs
from gateway.shadow.score.repeated import Stopped


class StartableSlot(Runs, Protocol):
    """Entered before its first run."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def interrupt(self) -> None:
        """From any thread: a run under way is lost, and returns; entering it fails."""


class Slots:
    def __init__(self, new_slot: Callable[[], StartableSlot]) -> None:
        self._new_slot = new_slot
        self._lock = threading.Lock()
        self._made = list[StartableSlot]()
        self.stopping = False

    def new(self) -> StartableSlot:
        """Not started yet, and already where `interrupt` finds it. Raises Stopped after that."""
        slot = self._new_slot()
        with self._lock:
            if self.stopping:
                raise Stopped
            self._made.append(slot)
        return slot

    def interrupt(self) -> None:
        with self._lock:
            self.stopping = True
            slots = list(self._made)
        for slot in slots:
            slot.interrupt()
