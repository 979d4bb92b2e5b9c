"""The walls of level `bubblewrap`, inside what bubblewrap made: a PID, mount, IPC and network namespace a job.

bubblewrap left this user namespace CAP_SYS_ADMIN, and no further user namespace can be made in it. The processes of a
job give up all capabilities before they see a byte of hostile code.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
from typing import NoReturn

from . import bpf, limits, linux, roles, seccomp
from .linux import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID
from .request import SEPARATE, Request

JOB = "/run/job"  # a job's bounded file system; parts of it are /tmp and /dev/shm
WARM = "/run/warm"  # what warm libraries keep in files: written before the first job, read-only from then on
_WARM_BYTES = 256 * 1024 * 1024
_BYTES_A_FILE = 4096  # so many files as would fill the job's file system with one page each
_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x1 | 0x40


class NamespaceWalls:
    """A process tree of its own a job; when its first process is killed, the kernel ends all of it."""

    def __init__(self, keep: list[str], links: list[tuple[str, str]]) -> None:
        """Folders below /tmp that Python needs, so that a job has to find them there, and links: (path, target)."""
        self._keep, self._links = keep, links
        self._first = -1
        self._own_pids = -1
        self._filter = seccomp.assemble(seccomp.common_rules(), os.uname().machine)

    def enter(self) -> None:
        """Make this process the first of a PID namespace that belongs to it, so that it may return to it."""
        linux.unshare(CLONE_NEWNS | CLONE_NEWPID)
        inside = os.fork()
        if inside:
            _wait_for(inside)
        linux.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        linux.mount("tmpfs", WARM, "tmpfs", MS_NOSUID | MS_NODEV, f"size={_WARM_BYTES},mode=700")
        self._own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def seal(self) -> None:
        """The warm libraries have written what they will: from now on nobody can."""
        linux.mount(None, WARM, None, linux.MS_REMOUNT | linux.MS_RDONLY | MS_NOSUID | MS_NODEV)

    def start(self, request: Request, ready: int) -> int:
        """A new job's first process, which is ours. ``ready`` gets b"1" once the walls stand, or why they don't."""
        linux.unshare(CLONE_NEWPID)
        first = os.fork()
        if first == 0:
            with roles.failing(ready):
                self._be_first(request, ready)
        self._first = first
        linux.enter_namespace(self._own_pids, CLONE_NEWPID)
        return first

    def used(self, enough: int) -> int:
        """Bytes of files. Nothing to watch: the file system is as large as the limit."""
        return 0

    def end(self) -> None:
        """Processes and files go with their namespaces, and these with their first process."""
        os.kill(self._first, signal.SIGKILL)
        os.waitpid(self._first, 0)

    def _be_first(self, request: Request, ready: int) -> NoReturn:
        """Process 1 of a job's namespace: starts the hostile processes, and waits for the main one."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.setsid()
        limits.first_to_be_killed()
        _isolate(request.limits.files, self._keep, self._links)
        limits.apply(request.limits, others=_threads_here())
        main = self._separate(request, ready) if request.kind == SEPARATE else self._both(request, ready)
        roles.close_all_but(ready)
        linux.hide_memory()
        self._confine()
        os.close(ready)
        _wait_for(main)

    def _both(self, request: Request, ready: int) -> int:
        main = os.fork()
        if main == 0:
            with roles.failing(ready):
                self._confine()
            roles.say(ready)
            roles.close_all_but(request.candidate, request.task, request.report)
            roles.be_both(request)
        return main

    def _separate(self, request: Request, ready: int) -> int:
        """The tests, which can see and signal the candidate; and the candidate in a PID namespace of its own."""
        tests_link, candidate_link = socket.socketpair()
        go, candidate_ready = os.pipe()
        main = os.fork()
        if main == 0:
            os.close(candidate_ready)
            with roles.failing(ready):
                self._confine()
            roles.wait(go)
            roles.say(ready)
            roles.close_all_but(request.task, request.report, tests_link.fileno())
            roles.be_tests(request, tests_link)
        linux.unshare(CLONE_NEWPID)
        if os.fork() == 0:
            with roles.failing(ready):
                linux.unshare(CLONE_NEWNS)
                _mount_proc()
                self._confine()
            roles.say(candidate_ready)
            roles.close_all_but(request.candidate, candidate_link.fileno())
            roles.be_candidate(request.candidate, candidate_link)
        return main

    def _confine(self) -> None:
        if os.getpid() != 1:  # which leads its session already
            os.setsid()
        linux.drop_capabilities()
        linux.forbid_new_privileges()
        bpf.load(self._filter)


def _isolate(size: int, keep: list[str], links: list[tuple[str, str]]) -> None:
    linux.unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    kept = {path: os.open(path, os.O_PATH) for path in keep}
    options = f"size={size},nr_inodes={max(size // _BYTES_A_FILE, 16)},mode=755"
    linux.mount("tmpfs", JOB, "tmpfs", MS_NOSUID | MS_NODEV, options)
    for name, target in (("tmp", "/tmp"), ("shm", "/dev/shm")):
        os.mkdir(f"{JOB}/{name}", 0o700)
        linux.mount(f"{JOB}/{name}", target, None, MS_BIND)
    for path, descriptor in kept.items():
        os.makedirs(path, exist_ok=True)
        linux.mount(f"/proc/self/fd/{descriptor}", path, None, MS_BIND | linux.MS_REC)
        os.close(descriptor)
    for path, target in links:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)
    _mount_proc()
    _raise_loopback()
    os.chdir("/tmp")


def _mount_proc() -> None:
    linux.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | linux.MS_RDONLY)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))


def _threads_here() -> int:
    """The server, the two that wait for it outside, bubblewrap's own, this process."""
    return 8


def _wait_for(main: int) -> NoReturn:
    """Reap whatever ends until ``main`` does; then end."""
    while os.wait()[0] != main:
        pass
    os._exit(0)
