"""Child processes that log to files, end with us, and tell why when they end early."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.config import environment_with

_GRACE = 5.0  # seconds after which a child that was asked to end is asked again, and then ended


class Died(Exception):
    """A child ended by itself. The message has its last log lines."""


class Child:
    """A process of its own, out of the terminal's reach: Ctrl-C is ours to handle."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment_with(environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def require_alive(self) -> None:
        """Raises Died."""
        code = self._process.poll()
        if code is not None:
            lines = "\n".join(f"  {line}" for line in self.text().splitlines()[-12:]) or "  (nothing)"
            raise Died(
                f"{self.name} (pid {self.pid}) ended with exit code {code}. Its last lines in {self.log}:\n{lines}"
            )

    def text(self) -> str:
        return self.log.read_text("utf-8", errors="replace")

    def ask_to_end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float = _GRACE) -> None:
        """For a child that was asked to end."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, seconds))

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Children:
    """All children of the demo. Leaving the scope, however it is left, leaves none of them behind."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        """``folder``: of their logs. ``environment``: theirs, besides our own."""
        self.folder = folder
        self._environment = environment or {}
        self._started: list[Child] = []

    def start(self, name: str, arguments: Sequence[str]) -> Child:
        """`yardstick ARGUMENTS`."""
        return self.start_command(name, [sys.executable, "-m", "gateway", *arguments])

    def start_command(self, name: str, command: Sequence[str]) -> Child:
        child = Child(name, command, self.folder, self._environment)
        self._started.append(child)
        return child

    def require_alive(self) -> None:
        """Raises Died for the first child that is not."""
        for child in self._started:
            child.require_alive()

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for _again in range(2):  # what is asked twice ends at once: vLLM takes its time while it starts
                for child in reversed(self._started):  # the gateway first: it would report its model servers as down
                    child.ask_to_end()
                deadline = time.monotonic() + _GRACE
                for child in self._started:
                    child.wait(deadline - time.monotonic())
        finally:  # also after another Ctrl-C
            for child in self._started:
                child.kill()


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal end us as Ctrl-C does, so that our children end with us."""
    numbers = [signal.SIGTERM, signal.SIGHUP]
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
