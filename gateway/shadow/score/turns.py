"""Runs side by side, and now and then one alone: a limit of time means little while others use the CPUs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turn:
    """One run. `crowded`: another one ran at some time of it."""

    crowded = False


class Turns:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = set[Turn]()
        self._alone_wanted = 0

    @contextmanager
    def beside_others(self) -> Iterator[Turn]:
        turn = Turn()
        with self._changed:
            self._changed.wait_for(lambda: not self._alone_wanted)
            self._running.add(turn)
            if len(self._running) > 1:
                for each in self._running:
                    each.crowded = True
        try:
            yield turn
        finally:
            self._leave(turn)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody new begins from now on, and this begins when the others have ended."""
        turn = Turn()
        with self._changed:
            self._alone_wanted += 1
            self._changed.wait_for(lambda: not self._running)
            self._running.add(turn)
        try:
            yield
        finally:
            with self._changed:
                self._alone_wanted -= 1
            self._leave(turn)

    def _leave(self, turn: Turn) -> None:
        with self._changed:
            self._running.discard(turn)
            self._changed.notify_all()
