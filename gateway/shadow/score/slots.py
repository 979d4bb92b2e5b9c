"""Slots of a scoring environment, and which environment that is."""

from __future__ import annotations

import contextlib
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.shadow.environment import EnvironmentMissing, find
from gateway.shadow.sandbox.slot import Slot
from gateway.shadow.suites.task import SuiteKind

BARE = "none (the standard library only)"


class CannotScore(Exception):
    """Says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Where:
    """What samples are run with: a Python, what is warmed in it, and its name for reports."""

    python: Path
    preload: tuple[str, ...]
    name: str


def where(folder: Path | None, kind: SuiteKind) -> Where:
    """The scoring environment. The suite `five` needs no library, so it may do without one: then with our own
    interpreter, of which the sandbox takes the standard library alone."""
    try:
        found = find(folder)
    except EnvironmentMissing as error:
        if folder is None and kind is SuiteKind.FIVE:
            return Where(base_python(), (), BARE)
        raise CannotScore(str(error)) from None
    return Where(found.python, found.preload, found.name)


def base_python() -> Path:
    """The interpreter that our environment was made from: it has none of our packages."""
    return Path(getattr(sys, "_base_executable", "") or sys.executable)


class StoppableSlot(Slot):
    def interrupt(self) -> None:
        """From any thread: the server hangs up, so that a run under way is lost and returns."""
        server = self._server
        if server is not None:
            with contextlib.suppress(OSError):
                server._socket.shutdown(socket.SHUT_RDWR)
