"""Child processes that log to files, end with us, and tell why when they end early."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_GRACE = 5.0  # seconds after which a child that was asked to end is asked again, and then ended


class Died(Exception):
    """A child ended by itself. The message has its last log lines."""


class Child:
    """`yardstick ARGUMENTS` in a process of its own, out of the terminal's reach: Ctrl-C is ours to handle."""

    def __init__(self, name: str, arguments: list[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
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

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Child] = []

    def start(self, name: str, arguments: list[str]) -> Child:
        child = Child(name, arguments, self.folder)
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
