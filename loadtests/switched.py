"""The `yardstick` command with parts of the gateway that signals switch off (SIGUSR1) and on (SIGUSR2).

What a part costs is measured between the two, in one process: two processes of the same program differ by more than
that. There is no such setting, since nobody should want it. `python -m loadtests.switched PART[,PART] serve ...`, with
`recording` (metrics and log lines), `traces` and `tap`; they begin switched on.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from gateway.__main__ import main
from gateway.shadow.tap.tap import Tap
from gateway.telemetry.record import Record, Recorder


def _nothing(*_: object) -> None:
    """In place of what is switched off."""


PARTS: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "recording": (Record, "end", _nothing),
    "traces": (Recorder, "begin_traced", Recorder.begin),
    "tap": (Tap, "copy", _nothing),
}
"""Whose method it is, its name, and what takes its place."""
OFF, ON = signal.SIGUSR1, signal.SIGUSR2


def switchable(names: list[str]) -> None:
    """Raises KeyError for what is no part."""
    found = [(*PARTS[name], getattr(*PARTS[name][:2])) for name in names]

    def switch(number: int, _: Any) -> None:
        for owner, method, instead, own in found:
            setattr(owner, method, own if number == ON else instead)

    signal.signal(OFF, switch)
    signal.signal(ON, switch)


if __name__ == "__main__":
    switchable(sys.argv.pop(1).split(","))
    main()
