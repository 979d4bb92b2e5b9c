"""The fork server as the host sees it: a process, and the socket to it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from gateway.shadow.sandbox.interpreter import SandboxError
from gateway.shadow.sandbox.launch import Start
from gateway.shadow.sandbox.runner.folder import remove
from gateway.shadow.sandbox.runner.watch import descendants
from gateway.shadow.sandbox.users import User
from gateway.shadow.sandbox.wire import ReportReader

_MESSAGE = 1 << 17
START_SECONDS = 300.0  # warming the full list of libraries takes a minute on a busy machine
_END_SECONDS = 10.0
_LOOK_EVERY = 1.0  # seconds


class Lost(Exception):
    """The server is gone, or does not answer."""


class ForkServer:
    """The server's process and the socket to it."""

    def __init__(self, start: Start, user: User | None) -> None:
        """``user``: whom nobody else is, if there is such a one."""
        self._folder, self._user = start.folder, user
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                start.command(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(theirs.fileno(),),
                env={},
                cwd="/",
                start_new_session=True,
            )

    def wait_until_ready(self) -> dict[str, Any]:
        try:
            return self.answer(START_SECONDS, None)
        except Lost as error:
            self._kill()
            self._errors.seek(0)
            said = self._errors.read(1 << 16).decode(errors="replace").strip().splitlines()
            raise SandboxError(
                f"the sandbox's server did not start: {said[-1] if said else 'it said nothing'}"
            ) from error

    def ask(
        self, header: dict[str, Any], descriptors: Sequence[int], seconds: float, reader: ReportReader | None
    ) -> dict[str, Any]:
        self.send(header, descriptors)
        return self.answer(seconds, reader)

    def send(self, header: dict[str, Any], descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(self._socket, [json.dumps(header).encode()], list(descriptors))
        except OSError as error:
            raise Lost from error

    def answer(
        self, seconds: float, reader: ReportReader | None, *, over: Callable[[], bool] = lambda: False
    ) -> dict[str, Any]:
        """The server's next message; meanwhile ``reader`` is read, so that a job need not wait for us.

        ``over``: whether the job has gone too far in a way that the server may not see; it then has a moment to end it.
        """
        deadline = time.monotonic() + seconds
        next_look, went_over = time.monotonic() + _LOOK_EVERY, False
        while True:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            if reader is not None and (report := reader.fileno()) is not None:
                poll.register(report, select.POLLIN)
            now = time.monotonic()
            if now >= next_look:
                if went_over:
                    raise Lost
                next_look, went_over = now + _LOOK_EVERY, over()
            if now >= deadline:
                raise Lost
            ready = dict(poll.poll((min(deadline, next_look) - now) * 1000 + 1))
            if reader is not None and reader.fileno() in ready:
                reader.read()
            if self._socket.fileno() in ready:
                return self._receive()

    def _receive(self) -> dict[str, Any]:
        try:
            message = self._socket.recv(_MESSAGE)
        except OSError as error:
            raise Lost from error
        if not message:
            raise Lost
        answer: dict[str, Any] = json.loads(message)
        return answer

    @property
    def pid(self) -> int:
        """The outermost process, which all others of the slot are below."""
        return self._process.pid

    def hang_up(self) -> None:
        """From any thread: whoever waits for an answer finds the server lost."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Hang up, at which the server ends itself and its jobs; kill it if it doesn't."""
        below = [process.pid for process in descendants(self.pid)]
        pinned = [*filter(None, map(_pin, below))]
        try:
            self._socket.close()
            deadline = time.monotonic() + _END_SECONDS
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._kill()
            for descriptor in pinned:  # bubblewrap's outer process does not wait until the inner ones are gone
                select.select([descriptor], [], [], max(deadline - time.monotonic(), 1.0))
        finally:
            for descriptor in pinned:
                os.close(descriptor)
        if self._user is not None:
            self._user.end_processes()
        self._errors.close()
        if self._folder is not None:
            _remove(self._folder)

    def _kill(self) -> None:
        """Kill what we started and all below it: namespaces end with their first process."""
        below = [process.pid for process in descendants(self.pid)]
        for pid in (self.pid, *below):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


def _pin(pid: int) -> int | None:
    """A descriptor of the process, ready to be read once it has ended; None if it has."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        remove(str(folder))
