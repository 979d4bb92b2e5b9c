"""The walls of level `landlock`: for where no namespace can be made, as in a default Kubernetes pod.

Files, TCP and (ABI 6) signals are kept in by Landlock, sockets and everything else that a namespace would have stopped
by the filter of system calls. The server adopts orphans, and is itself inside a Landlock domain of its own, so that
"kill everything that I may" means the job and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from typing import Any

from . import bpf, folder, landlock, limits, linux, roles, seccomp, watch
from .request import SEPARATE, Request

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_PROC_FILES = ("cpuinfo", "meminfo", "stat", "loadavg", "uptime", "version", "filesystems")
_LOOK_AGAIN_AFTER = 5  # times as long as the last look at the disk took


class LandlockWalls:
    """A job is one or two processes below the server, each in a Landlock domain of its own."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """``settings``: "folder" (ours alone), "read" (what Python needs), "own_user" (no one else has our user)."""
        self._folder = str(settings["folder"])
        self._tmp = f"{self._folder}/tmp"
        self._read = [*map(str, settings["read"])]
        self._own_user = bool(settings["own_user"])
        self._abi = landlock.abi()
        self._scoped = self._abi >= landlock.SCOPES_ABI
        self._groups: list[int] = []
        self.own: frozenset[int] = frozenset()
        self._next_look = 0.0
        self._device = folder.device_of(self._folder)

    def enter(self) -> None:
        if os.getuid() == 0:
            raise RuntimeError("the server must not run as root: nothing would bound what a job takes")
        os.mkdir(f"{self._folder}/warm")
        own = [
            (self._folder, landlock.EVERYTHING),
            ("/proc", landlock.READ | landlock.USE_DEVICE),
            (os.path.dirname(__file__), landlock.READ),
        ]
        landlock.restrict([*self._readable(), *own])
        if self._scoped:
            self._prove_that_signals_stay_inside()

    def seal(self) -> None:
        """The jobs' own domain lets them only read what the warm libraries wrote; what these left in /tmp goes."""
        if os.path.isdir(self._tmp):
            folder.remove(self._tmp)

    def start(self, request: Request, ready: int) -> int:
        os.mkdir(self._tmp, 0o700)
        if request.kind == SEPARATE:
            return self._separate(request, ready)
        main = os.fork()
        if main == 0:
            with roles.failing(ready):
                self._confine(request)
            roles.say(ready)
            roles.close_all_but(request.candidate, request.task, request.report)
            roles.be_both(request)
        self._groups = [main]
        return main

    def used(self, enough: int) -> int:
        if time.monotonic() < self._next_look:
            return 0
        began = time.monotonic()
        pids = [process.pid for process in watch.descendants(os.getpid())]
        total = folder.used(self._tmp, enough) + folder.unlinked(pids, self._device)
        self._next_look = began + _LOOK_AGAIN_AFTER * (time.monotonic() - began)
        return total

    def end(self) -> None:
        """Kill all that is below the server, until nothing is left of it; and remove its files."""
        self._kill()
        while _reap():
            self._kill()
        self._groups = []
        folder.remove(self._tmp)

    def _kill(self) -> None:
        """In one step, through which no fork can slip."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._own_user or self._scoped:
                os.kill(-1, signal.SIGKILL)  # all that we may: in our domain, or of our user
        for group in self._groups:  # without that, the filter lets nothing leave these
            for kill in (os.kill, os.killpg):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(group, signal.SIGKILL)

    def _separate(self, request: Request, ready: int) -> int:
        tests_link, candidate_link = socket.socketpair()
        go, candidate_ready = os.pipe()
        with tests_link, candidate_link:
            main = os.fork()
            if main == 0:
                os.close(candidate_ready)
                with roles.failing(ready):
                    self._confine(request)
                roles.wait(go)
                roles.say(ready)
                roles.close_all_but(request.task, request.report, tests_link.fileno())
                roles.be_tests(request, tests_link)
            candidate = os.fork()
            if candidate == 0:
                with roles.failing(ready):
                    self._confine(request)
                roles.say(candidate_ready)
                roles.close_all_but(request.candidate, candidate_link.fileno())
                roles.be_candidate(request.candidate, candidate_link)
        os.close(go)
        os.close(candidate_ready)
        self._groups = [main, candidate]
        return main

    def _confine(self, request: Request) -> None:
        parent = os.getppid()
        os.setsid()
        os.chdir(self._tmp)
        limits.first_to_be_killed()
        linux.die_with_parent(parent)
        others = 4 if self._own_user else watch.threads_of(os.getuid())
        limits.apply(request.limits, others)
        landlock.restrict(
            [
                *self._readable(),
                (f"{self._folder}/warm", landlock.READ),
                (self._tmp, landlock.EVERYTHING),
                *((f"/proc/{name}", landlock.READ) for name in _PROC_FILES),
            ]
        )
        linux.drop_capabilities()
        rules = seccomp.landlock_rules(
            os.getpid(),
            own_user=self._own_user,
            scoped=self._scoped,
            truncate=self._abi >= landlock.TRUNCATE_ABI,
        )
        bpf.load(seccomp.assemble(rules, os.uname().machine))

    def _readable(self) -> list[tuple[str, int]]:
        code = [(path, landlock.READ_AND_EXECUTE) for path in self._read]
        return [*code, *((path, landlock.USE_DEVICE) for path in _DEVICES)]

    def _prove_that_signals_stay_inside(self) -> None:
        """Raises if a signal would reach a process outside: all else that is our user's depends on it."""
        try:
            os.kill(os.getppid(), 0)
        except PermissionError:
            return
        raise RuntimeError("Landlock does not keep signals inside")


def _reap() -> bool:
    """Reap all that has ended; whether anything is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    time.sleep(0.001)
    return True
