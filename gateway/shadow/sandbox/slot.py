"""A slot: one warm fork server behind walls, which runs one job at a time."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from gateway.shadow.sandbox.cgroup import MemoryCgroup, memory_cgroup
from gateway.shadow.sandbox.interpreter import SandboxError, examine
from gateway.shadow.sandbox.job import Job, Outcome
from gateway.shadow.sandbox.launch import Level, Start
from gateway.shadow.sandbox.runner.watch import descendants
from gateway.shadow.sandbox.users import User, own_user
from gateway.shadow.sandbox.wire import ReportReader, sealed

_MESSAGE = 1 << 17
_START_SECONDS = 300.0  # warming the full list of libraries takes a minute on a busy machine
_GRACE_SECONDS = 30.0  # for the server to end what it has to end, beyond a job's wall clock
_END_SECONDS = 10.0


_log = logging.getLogger(__name__)


class _Lost(Exception):
    """The server is gone, or does not answer."""


class Slot:
    """Starts the server and ends it with all that is below it. Used by one thread at a time.

    Started as root, the server and its jobs run as a user of their own: ``uid``, or a free one. Raises SandboxError if
    the server can't start, with what to do about it.
    """

    def __init__(self, level: Level, python: Path, *, preload: Sequence[str] = (), uid: int | None = None) -> None:
        self.level = level
        self._interpreter = examine(python)
        self._preload = tuple(preload)
        self._uid = uid
        self._server: _Server | None = None
        self._user: User | None = None
        self._cgroup: MemoryCgroup | None = None

    def __enter__(self) -> Self:
        self._user = own_user(self._uid)
        self._cgroup = memory_cgroup()
        try:
            self._server = self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server and all that is below it."""
        if self._server is not None:
            self._server.end()
            self._server = None
        if self._user is not None:
            self._user.release()
            self._user = None
        if self._cgroup is not None:
            self._cgroup.remove()
            self._cgroup = None

    def run(self, job: Job) -> Outcome:
        """Never raises for what a job does; a lost server is restarted for the next one."""
        began = time.monotonic()
        report, write_end = os.pipe()
        reader = ReportReader(report)
        try:
            answer = self._ask_to_run(job, write_end, reader)
            if self._cgroup is not None and self._cgroup.ran_out():
                answer["end"] = "memory"
        except _Lost:
            answer = {"end": "lost", "cpu": 0.0, "wall": time.monotonic() - began}
            self._end_server()
        if "reason" in answer:
            _log.error("a job's walls could not be built: %s", answer["reason"])
        reader.read()
        reader.close()
        lines, garbled = reader.lines()
        return Outcome(answer["end"], lines, garbled, answer["cpu"], answer["wall"])

    def missing(self, modules: Collection[str]) -> frozenset[str]:
        """Which of ``modules`` (top-level names) the scoring environment lacks."""
        try:
            answer = self._running().ask({"find": sorted(modules)}, (), _START_SECONDS, None)
        except _Lost as error:
            self._end_server()
            raise SandboxError("the sandbox's server was lost; try again") from error
        return frozenset(answer["missing"])

    def _ask_to_run(self, job: Job, write_end: int, reader: ReportReader) -> dict[str, Any]:
        descriptors = [write_end]
        try:
            server = self._running()
            task = json.dumps(dict(job.task)).encode()
            descriptors.insert(0, sealed("task", task))
            descriptors.insert(0, sealed("candidate", job.candidate.encode(errors="replace")))
            if self._cgroup is not None:
                self._cgroup.bound(job.limits.memory)
            header = {"kind": job.kind, "limits": asdict(job.limits)}
            server.send(header, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return server.answer(job.limits.wall + _GRACE_SECONDS, reader)

    def _running(self) -> _Server:
        if self._server is None:
            try:
                self._server = self._start()
            except SandboxError as error:
                raise _Lost from error
        return self._server

    def _end_server(self) -> None:
        if self._server is not None:
            self._server.end()
            self._server = None

    def _start(self) -> _Server:
        """A server whose warm libraries left it with one thread: those that start threads are not preloaded."""
        uid = self._user.uid if self._user is not None else None
        preload = self._preload
        while True:
            folder = _folder(uid) if self.level is Level.LANDLOCK else None
            cgroup = () if self._cgroup is None else (self._cgroup.processes,)
            server = _Server(Start(self.level, self._interpreter, preload, uid, folder, cgroup), self._user)
            try:
                threaded = server.wait_until_ready()["threaded"]
            except BaseException:
                server.end()
                raise
            if not threaded:
                return server
            server.end()
            preload = tuple(name for name in preload if name not in threaded)


class _Server:
    """The server's process and the socket to it."""

    def __init__(self, start: Start, user: User | None) -> None:
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
            return self.answer(_START_SECONDS, None)
        except _Lost as error:
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
            raise _Lost from error

    def answer(self, seconds: float, reader: ReportReader | None) -> dict[str, Any]:
        """The server's next message; meanwhile ``reader`` is read, so that a job need not wait for us."""
        deadline = time.monotonic() + seconds
        while True:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            if reader is not None and (report := reader.fileno()) is not None:
                poll.register(report, select.POLLIN)
            left = deadline - time.monotonic()
            if left <= 0:
                raise _Lost
            ready = dict(poll.poll(left * 1000))
            if reader is not None and reader.fileno() in ready:
                reader.read()
            if self._socket.fileno() in ready:
                return self._receive()

    def _receive(self) -> dict[str, Any]:
        try:
            message = self._socket.recv(_MESSAGE)
        except OSError as error:
            raise _Lost from error
        if not message:
            raise _Lost
        answer: dict[str, Any] = json.loads(message)
        return answer

    def end(self) -> None:
        """Hang up, at which the server ends itself and its jobs; kill it if it doesn't."""
        self._socket.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
        if self._user is not None:
            self._user.end_processes()
        self._errors.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _kill(self) -> None:
        """Kill what we started and all below it: namespaces end with their first process."""
        below = [process.pid for process in descendants(self._process.pid)]
        for pid in (self._process.pid, *below):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


def _folder(uid: int | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="yardstick-slot-"))
    if uid is not None:
        os.chown(folder, uid, uid)
    return folder
