"""What the supervisor shows people, on standard error: our lines and vLLM's, and on a terminal what still starts."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text


class Screen(Protocol):
    def say(self, line: str) -> None:
        """A line of ours."""

    def show_stage(self, server: str, stage: str | None, percent: int | None = None) -> None:
        """What a server that starts is doing; None once it has started or ended."""


class PlainScreen:
    """Lines only, for a file or a pipe: each stage once, without its percentage."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stages: dict[str, str | None] = {}

    def say(self, line: str) -> None:
        data = f"{line}\n".encode("utf-8", "replace")
        with contextlib.suppress(OSError):  # nobody reads it: that must not end a model server
            while data:
                data = data[os.write(self._descriptor, data) :]

    def show_stage(self, server: str, stage: str | None, percent: int | None = None) -> None:
        if self._stages.get(server) != stage:
            self._stages[server] = stage
            if stage is not None:
                self.say(f"{server}: {stage}")


class TerminalScreen:
    """Lines scroll above one row for each server that starts: a spinner, its stage and the time since its start."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._rows: dict[str, TaskID] = {}

    def say(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._console.print(Text(line), soft_wrap=True)

    def show_stage(self, server: str, stage: str | None, percent: int | None = None) -> None:
        with contextlib.suppress(OSError):
            if stage is None:
                if server in self._rows:
                    self._progress.remove_task(self._rows.pop(server))
                return
            shown = f"{server}: {stage}" + (f", {percent} %" if percent is not None else "")
            if server in self._rows:
                self._progress.update(self._rows[server], description=shown)
            else:
                self._rows[server] = self._progress.add_task(shown, total=None)


@contextlib.contextmanager
def screen() -> Iterator[Screen]:
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield PlainScreen(sys.stderr.fileno())
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield TerminalScreen(console, progress)
