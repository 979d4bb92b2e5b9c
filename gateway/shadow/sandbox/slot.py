"""A slot: one warm fork server behind walls, which runs one job at a time."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.shadow.sandbox.cgroup import Cgroup, MemoryCgroup, last_cgroup, memory_cgroup
from gateway.shadow.sandbox.fork_server import START_SECONDS, ForkServer, Lost
from gateway.shadow.sandbox.interpreter import SandboxError, examine
from gateway.shadow.sandbox.job import Job, Outcome
from gateway.shadow.sandbox.launch import Level, Start
from gateway.shadow.sandbox.runner.watch import descendants
from gateway.shadow.sandbox.users import User, own_user
from gateway.shadow.sandbox.wire import ReportReader, sealed

_GRACE_SECONDS = 30.0  # for the server to end what it has to end, beyond a job's wall clock


_log = logging.getLogger(__name__)


class _OutOfMemory(Lost):
    """The kernel ended a process of the job, and the server did not end the rest."""


class Slot:
    """Starts the server and ends it with all that is below it. Used by one thread at a time.

    Started as root, the server and its jobs run as a user of their own: ``uid``, or a free one. Jobs are nice;
    ``gives_way``: they also have the CPUs after all other sessions where a cgroup can say so, for what runs beside live
    traffic. Raises SandboxError if the server can't start, with what to do about it.
    """

    def __init__(
        self,
        level: Level,
        python: Path,
        *,
        preload: Sequence[str] = (),
        uid: int | None = None,
        gives_way: bool = False,
    ) -> None:
        self.level = level
        self._gives_way = gives_way
        self._interpreter = examine(python)
        self._preload = tuple(preload)
        self._uid = uid
        self._server: ForkServer | None = None
        self._interrupted = False
        self._user: User | None = None
        self._memory: MemoryCgroup | None = None
        self._cgroups: list[Cgroup] = []

    def __enter__(self) -> Self:
        self._user = own_user(self._uid)
        self._memory = memory_cgroup()
        last = last_cgroup(self._memory) if self._gives_way else None
        self._cgroups = [made for made in (self._memory, last) if made is not None]
        try:
            self._start()
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
        for cgroup in self._cgroups:
            cgroup.remove()
        self._memory, self._cgroups = None, []

    def interrupt(self) -> None:
        """From any thread, once for all: the server hangs up, so that a run under way is lost and returns.

        If it is starting, it is ended, and entering the slot raises SandboxError. None is started any more.
        """
        self._interrupted = True
        server = self._server
        if server is not None:
            server.hang_up()

    def processes(self) -> list[int]:
        """Of the slot, outermost first, while no job runs."""
        server = self._server
        return [] if server is None else [server.pid, *(process.pid for process in descendants(server.pid))]

    def run(self, job: Job) -> Outcome:
        """Never raises for what a job does; a lost server is restarted for the next one."""
        began = time.monotonic()
        report, write_end = os.pipe()
        reader = ReportReader(report)
        try:
            answer = self._ask_to_run(job, write_end, reader)
        except Lost as lost:
            end = "memory" if isinstance(lost, _OutOfMemory) else "lost"
            answer = {"end": end, "cpu": 0.0, "wall": time.monotonic() - began}
            self._end_server()
        if "reason" in answer:
            _log.error("a job's walls could not be built: %s", answer["reason"])
            self._end_server()
        reader.read()
        reader.close()
        lines, garbled = reader.lines()
        return Outcome(answer["end"], lines, garbled, answer["cpu"], answer["wall"], answer.get("waited", 0.0))

    def missing(self, modules: Collection[str]) -> frozenset[str]:
        """Which of ``modules`` (top-level names) the scoring environment lacks."""
        try:
            answer = self._running().ask({"find": sorted(modules)}, (), START_SECONDS, None)
        except Lost as error:
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
            if self._memory is not None:
                self._memory.bound(job.limits.memory)
            header = {"kind": job.kind, "limits": asdict(job.limits)}
            server.send(header, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        try:
            # The kernel ends one process, and the others of the job may wait for it for ever.
            answer = server.answer(job.limits.wall + _GRACE_SECONDS, reader, over=self._ran_out)
        except Lost as lost:
            raise _OutOfMemory if self._ran_out() else lost from None
        if self._ran_out():
            answer["end"] = "memory"
        return answer

    def _ran_out(self) -> bool:
        return self._memory is not None and self._memory.ran_out()

    def _running(self) -> ForkServer:
        if self._server is None:
            try:
                return self._start()
            except SandboxError as error:
                raise Lost from error
        return self._server

    def _end_server(self) -> None:
        if self._server is not None:
            self._server.end()
            self._server = None

    def _start(self) -> ForkServer:
        """A server whose warm libraries left it with one thread: those that start threads are not preloaded."""
        uid = self._user.uid if self._user is not None else None
        preload = self._preload
        while True:
            folder = _folder(uid) if self.level is Level.LANDLOCK else None
            cgroups = [cgroup.processes for cgroup in self._cgroups]
            server = ForkServer(Start(self.level, self._interpreter, preload, uid, folder, cgroups), self._user)
            self._server = server  # where `interrupt` finds it; had it come before, we find its mark
            try:
                if self._interrupted:
                    raise SandboxError("the slot was interrupted before it had started")
                threaded = server.wait_until_ready()["threaded"]
            except BaseException:
                self._end_server()
                raise
            if not threaded:
                return server
            self._end_server()
            preload = tuple(name for name in preload if name not in threaded)


def _folder(uid: int | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="yardstick-slot-")).resolve()
    if uid is not None:
        os.chown(folder, uid, uid)
    return folder
