"""The walls of level `bubblewrap`, inside what bubblewrap made: a PID, mount, IPC and network namespace a job.

bubblewrap left this user namespace CAP_SYS_ADMIN, and no further user namespace can be made in it. The processes of a
job give up all capabilities before they see a byte of hostile code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any, NoReturn

from . import bpf, limits, linux, roles, seccomp
from .linux import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, MS_NODEV, MS_NOEXEC, MS_NOSUID
from .maker import Kept, Maker, mount_proc
from .request import SEPARATE, Request

WARM = "/run/warm"  # what warm libraries keep in files: written before the first job, read-only from then on
_WARM_BYTES = 256 * 1024 * 1024
_OUR_THREADS = 12  # the server, its maker of namespaces, what waits for them, bubblewrap's own, a job's first
_JOINED = {"mnt": CLONE_NEWNS, "ipc": CLONE_NEWIPC, "net": CLONE_NEWNET}


class NamespaceWalls:
    """A job is one or two processes of the server's in namespaces of their own, whose end is the end of all in them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """``settings``: "folders" and "links" below /tmp that jobs have to find there."""
        self._kept = Kept(settings["folders"], [(path, target) for path, target in settings["links"]])
        self._filter = seccomp.assemble(seccomp.common_rules(), os.uname().machine)
        self._own_pids = -1
        self._maker: Maker | None = None
        self._processes: list[int] = []
        self.own: frozenset[int] = frozenset()

    def enter(self) -> None:
        """Make this process the first of a PID namespace that belongs to it, so that it may return to it."""
        linux.unshare(CLONE_NEWNS | CLONE_NEWPID)
        inside = os.fork()
        if inside:
            _wait_for(inside)
        linux.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        linux.mount("tmpfs", WARM, "tmpfs", MS_NOSUID | MS_NODEV, f"size={_WARM_BYTES},mode=700")
        self._own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._maker = Maker(self._own_pids, self._kept, self._filter)
        self.own = frozenset({self._maker.pid})

    def seal(self) -> None:
        """The warm libraries have written what they will: from now on nobody can."""
        linux.mount(None, WARM, None, linux.MS_REMOUNT | linux.MS_RDONLY | MS_NOSUID | MS_NODEV)

    def start(self, request: Request, ready: int) -> int:
        """A new job's main process. ``ready`` gets b"1" once the walls stand, or why they don't."""
        assert self._maker is not None
        first = self._maker.make(request.limits.files)
        with contextlib.ExitStack() as closing:
            inside = {}
            for name in (*_JOINED, "pid"):
                inside[name] = os.open(f"/proc/{first}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
                closing.callback(os.close, inside[name])
            if request.kind == SEPARATE:
                self._processes = self._separate(request, ready, inside)
            else:
                self._processes = [self._both(request, ready, inside)]
        return self._processes[0]

    def used(self, enough: int) -> int:
        """Bytes of files. Nothing to watch: the file system is as large as the limit."""
        return 0

    def end(self) -> None:
        """Processes and files go with their namespaces, and these with their first process."""
        assert self._maker is not None
        for pid in self._processes:
            os.kill(pid, signal.SIGKILL)
        for pid in self._processes:
            os.waitpid(pid, 0)
        self._processes = []
        self._maker.end()

    def _both(self, request: Request, ready: int, inside: dict[str, int]) -> int:
        main = self._fork_into(inside["pid"])
        if main == 0:
            with roles.failing(ready):
                self._confine(request, inside)
            roles.say(ready)
            roles.close_all_but(request.candidate, request.task, request.report)
            roles.be_both(request)
        return main

    def _separate(self, request: Request, ready: int, inside: dict[str, int]) -> list[int]:
        """The tests, and the candidate in a further PID namespace: neither can see or signal the other."""
        tests_link, candidate_link = socket.socketpair()
        go, candidate_ready = os.pipe()
        main = self._fork_into(inside["pid"])
        if main == 0:
            os.close(candidate_ready)
            with roles.failing(ready):
                self._confine(request, inside)
            roles.wait(go)
            roles.say(ready)
            roles.close_all_but(request.task, request.report, tests_link.fileno())
            roles.be_tests(request, tests_link)
        candidate = self._fork_into(None)
        if candidate == 0:
            with roles.failing(ready):
                self._confine(request, inside, own_proc=True)
            roles.say(candidate_ready)
            roles.close_all_but(request.candidate, candidate_link.fileno())
            roles.be_candidate(request.candidate, candidate_link)
        for descriptor in (go, candidate_ready):
            os.close(descriptor)
        for link in (tests_link, candidate_link):
            link.close()
        return [main, candidate]

    def _fork_into(self, pids: int | None) -> int:
        """Fork a process into the PID namespace ``pids``, by default as the first of a new one."""
        if pids is None:
            linux.unshare(CLONE_NEWPID)
        else:
            linux.enter_namespace(pids, CLONE_NEWPID)
        pid = os.fork()
        if pid:
            linux.enter_namespace(self._own_pids, CLONE_NEWPID)
        return pid

    def _confine(self, request: Request, inside: dict[str, int], own_proc: bool = False) -> None:
        os.setsid()
        limits.first_to_be_killed()
        for name, kind in _JOINED.items():
            linux.enter_namespace(inside[name], kind)
        if own_proc:
            linux.unshare(CLONE_NEWNS)
            mount_proc()
        os.chdir("/tmp")
        limits.apply(request.limits, _OUR_THREADS)
        linux.drop_capabilities()
        linux.forbid_new_privileges()
        bpf.load(self._filter)


def _wait_for(main: int) -> NoReturn:
    """Reap whatever ends until ``main`` does; then end."""
    while os.wait()[0] != main:
        pass
    os._exit(0)
