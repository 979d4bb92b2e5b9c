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
from typing import Any, NamedTuple

from gateway.__main__ import main
from gateway.exchange import Exchange
from gateway.shadow.tap.tap import Tap
from gateway.telemetry.record import Recorder

BEGIN, END = signal.SIGUSR1, signal.SIGUSR2
_LINES, _SPANS = "log", "OtelBatchSpanRecordProcessor"
"""Threads that write lines and send spans, later and for many requests together: what they take is no turn's."""
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


class Part(NamedTuple):
    """``owner``'s ``method`` is what ``instead`` takes the place of. ``ending`` ends a turn with it; ``threads`` are
    those that it makes work."""

    owner: type
    method: str
    instead: Callable[..., Any]
    ending: Callable[[], None] = _nothing
    threads: tuple[str, ...] = ()


PARTS = {
    "recording": Part(Recorder, "begin_traced", lambda *_: _UNRECORDED, _write_down, (_LINES, _SPANS)),
    "traces": Part(Recorder, "begin_traced", Recorder.begin, threads=(_SPANS,)),
    "tap": Part(Tap, "copy", _nothing),
}


class Turns:
    """Off and on, then on and off, and so on: what grows or shrinks with time cancels out.

    A turn ends with the first request that does so after its time.
    """

    def __init__(self, part: Part, seconds: float, file: Path) -> None:
        self._part, self._own = part, getattr(part.owner, part.method)
        self._seconds, self._file = seconds, file
        self._turns: list[tuple[bool, int, int]] | None = None
        self._on = True
        self._requests = 0

    def begin(self, *_: object) -> None:
        self._helpers = {
            thread.name: time.pthread_getcpuclockid(thread.ident)
            for thread in threading.enumerate()
            if thread.name in (_LINES, _SPANS) and thread.ident is not None
        }
        self._before = self._of_helpers()
        self._turns = []
        self._switch()

    def ended(self) -> None:
        """A request. To be called for each, whatever is switched."""
        self._requests += 1
        if self._turns is not None and time.perf_counter() >= self._until:
            if self._on:
                self._part.ending()
            self._turns.append((self._on, self._requests, self._spent() - self._began))
            self._switch()

    def end(self, *_: object) -> None:
        spent = {name: now - self._before[name] for name, now in self._of_helpers().items()}
        threads = {name: spent[name] for name in self._part.threads if name in spent}
        text = json.dumps({"turns": self._turns, "threads": threads})
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
        setattr(self._part.owner, self._part.method, self._own if on else self._part.instead)

    def _spent(self) -> int:
        """CPU nanoseconds of this process without those of the helpers."""
        return time.process_time_ns() - sum(self._of_helpers().values())

    def _of_helpers(self) -> dict[str, int]:
        return {name: time.clock_gettime_ns(clock) for name, clock in self._helpers.items()}


def switchable(part: str, seconds: float, file: Path) -> None:
    """Raises KeyError for what is no part."""
    turns = Turns(PARTS[part], seconds, file)
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
