"""The `yardstick` command with a part of the gateway that is switched off and on by turns while it serves.

What a part costs is measured between the two, in one process: two processes of the same program differ by more than
that. There is no such setting, since nobody should want it. `python -m loadtests.switched PART SECONDS FILE serve ...`,
with one of `recording` (metrics, log lines and traces), `traces` and `tap`. SIGUSR1 begins turns of so many seconds,
SIGUSR2 ends them and writes what was measured to FILE; before and after, the part is on. See `turns`, which reads it.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.__main__ import main
from gateway.exchange import Exchange
from gateway.shadow.tap.tap import Tap
from gateway.telemetry.record import Recorder

BEGIN, END = signal.SIGUSR1, signal.SIGUSR2
HELPERS = ("log", "OtelBatchSpanRecordProcessor")
"""Threads that do nothing but what is switched, later and for many requests together: what they take is no turn's."""
_recorders: list[Recorder] = []


class _Unrecorded:
    """In place of a `Record`."""

    def decided(self, *_: object) -> None: ...
    def relaying(self, *_: object) -> None: ...
    def failed(self, *_: object) -> None: ...
    def cancelled(self, *_: object) -> None: ...
    def end(self, *_: object) -> None: ...


_UNRECORDED = _Unrecorded()


def _write_down() -> None:
    """What requests of a turn have left is done in it."""
    for recorder in _recorders:
        recorder.settle()
        if recorder.log is not None:
            recorder.log.flush()


def _nothing(*_: object) -> None: ...


PARTS: dict[str, tuple[type, str, Callable[..., Any], Callable[[], None]]] = {
    "recording": (Recorder, "begin_traced", lambda *_: _UNRECORDED, _write_down),
    "traces": (Recorder, "begin_traced", Recorder.begin, _nothing),
    "tap": (Tap, "copy", _nothing, _nothing),
}
"""Whose method it is, its name, what takes its place, and what ends a turn with it."""


class Turns:
    """Off and on, then on and off, and so on: what grows or shrinks with time cancels out.

    A turn ends with the first request that does so after its time.
    """

    def __init__(self, part: str, seconds: float, file: Path) -> None:
        self._owner, self._method, self._instead, self._ending = PARTS[part]
        self._own = getattr(self._owner, self._method)
        self._seconds, self._file = seconds, file
        self._turns: list[tuple[bool, int, int]] | None = None
        self._on = True
        self._requests = 0

    def begin(self, *_: object) -> None:
        self._helpers = {
            thread.name: time.pthread_getcpuclockid(thread.ident)
            for thread in threading.enumerate()
            if thread.name in HELPERS and thread.ident is not None
        }
        self._before = self._of_helpers()
        self._turns = []
        self._switch()

    def ended(self) -> None:
        """A request. To be called for each, whatever is switched."""
        self._requests += 1
        if self._turns is not None and time.perf_counter() >= self._until:
            if self._on:
                self._ending()
            self._turns.append((self._on, self._requests, self._spent() - self._began))
            self._switch()

    def end(self, *_: object) -> None:
        spent = {name: now - self._before[name] for name, now in self._of_helpers().items()}
        text = json.dumps({"turns": self._turns, "helpers": spent})
        part = self._file.with_suffix(".part")
        part.write_text(text)
        part.replace(self._file)  # whole, for who waits for it
        self._turns = None
        self._set(on=True)

    def _switch(self) -> None:
        self._set(on=len(self._turns or ()) % 4 in (1, 2))
        self._requests = 0
        self._began = self._spent()
        self._until = time.perf_counter() + self._seconds

    def _set(self, *, on: bool) -> None:
        self._on = on
        setattr(self._owner, self._method, self._own if on else self._instead)

    def _spent(self) -> int:
        """CPU nanoseconds of this process without those of the helpers."""
        return time.process_time_ns() - sum(self._of_helpers().values())

    def _of_helpers(self) -> dict[str, int]:
        return {name: time.clock_gettime_ns(clock) for name, clock in self._helpers.items()}


def switchable(part: str, seconds: float, file: Path) -> None:
    """Raises KeyError for what is no part."""
    turns = Turns(part, seconds, file)
    finish, made = Exchange.finish, Recorder.__init__

    def finishing(exchange: Exchange, last: bytes = b"") -> None:
        finish(exchange, last)
        turns.ended()

    def making(recorder: Recorder, *arguments: Any, **settings: Any) -> None:
        made(recorder, *arguments, **settings)
        _recorders.append(recorder)

    Exchange.finish = finishing  # type: ignore[method-assign, assignment]
    Recorder.__init__ = making  # type: ignore[method-assign, assignment]
    signal.signal(BEGIN, turns.begin)
    signal.signal(END, turns.end)


if __name__ == "__main__":
    part, seconds, file = sys.argv.pop(1), float(sys.argv.pop(1)), Path(sys.argv.pop(1))
    switchable(part, seconds, file)
    main()
