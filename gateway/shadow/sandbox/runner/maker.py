"""Makes a job's namespaces, with a first process in them that reaps orphans.

A process of its own, forked before the libraries are warm: forking the warm server costs milliseconds, and this way it
is only forked for what has to be warm.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
from dataclasses import dataclass
from typing import Any, NoReturn

from . import bpf, limits, linux, roles
from .linux import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID

JOB = "/run/job"  # a job's bounded file system; parts of it are /tmp and /dev/shm
_BYTES_A_FILE = 4096  # so many files as would fill the job's file system with one page each
_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x1 | 0x40
_MESSAGE = 1 << 12


@dataclass(frozen=True)
class Kept:
    """Folders below /tmp that Python needs, so that a job has to find them there, and links: (path, target)."""

    folders: list[str]
    links: list[tuple[str, str]]


class Maker:
    """The server's end: ``make`` and ``end`` are asked of the process ``pid``."""

    def __init__(self, own_pids: int, kept: Kept, filter_: bytes) -> None:
        """``own_pids``: a descriptor of the server's PID namespace, which it may return to."""
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            roles.close_all_but(own_pids, theirs.fileno())
            _serve(theirs, own_pids, kept, filter_)
        theirs.close()

    def make(self, files: int) -> int:
        """The first process of a new job's namespaces, whose file systems hold ``files`` bytes. Raises RuntimeError."""
        answer = self._ask({"files": files})
        if "reason" in answer:
            raise RuntimeError(answer["reason"])
        return int(answer["pid"])

    def end(self) -> None:
        """End the job's namespaces and all that is in them. What of it are the server's children has been reaped."""
        self._ask({})

    def _ask(self, question: dict[str, int]) -> dict[str, Any]:
        self._socket.send(json.dumps(question).encode())
        message = self._socket.recv(_MESSAGE)
        if not message:
            raise RuntimeError("the process that makes namespaces is gone")
        answer: dict[str, Any] = json.loads(message)
        return answer


def _serve(server: socket.socket, own_pids: int, kept: Kept, filter_: bytes) -> NoReturn:
    first = 0
    while True:
        message = server.recv(_MESSAGE)
        if not message:
            os._exit(0)
        question = json.loads(message)
        answer: dict[str, Any] = {}
        if "files" in question:
            first, reason = _make(question["files"], own_pids, kept, filter_)
            answer = {"pid": first} if reason is None else {"reason": reason}
        else:
            os.kill(first, signal.SIGKILL)
            os.waitpid(first, 0)
        server.send(json.dumps(answer).encode())


def _make(files: int, own_pids: int, kept: Kept, filter_: bytes) -> tuple[int, str | None]:
    """The process, and why its walls don't stand."""
    is_ready, ready = os.pipe()
    linux.unshare(CLONE_NEWPID)
    first = os.fork()
    if first == 0:
        with roles.failing(ready):
            _be_first(files, kept, filter_)
        roles.say(ready)
        roles.close_all_but()
        _reap_forever()
    linux.enter_namespace(own_pids, CLONE_NEWPID)
    os.close(ready)
    with open(is_ready, "rb") as file:
        said = file.read()
    return first, None if said == b"1" else said.decode(errors="replace")[-_MESSAGE // 2 :]


def _be_first(files: int, kept: Kept, filter_: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.setsid()
    limits.first_to_be_killed()
    _isolate(files, kept)
    linux.drop_capabilities()
    linux.forbid_new_privileges()
    bpf.load(filter_)


def _isolate(size: int, kept: Kept) -> None:
    linux.unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    held = {path: os.open(path, os.O_PATH) for path in kept.folders}
    options = f"size={size},nr_inodes={max(size // _BYTES_A_FILE, 16)},mode=755"
    linux.mount("tmpfs", JOB, "tmpfs", MS_NOSUID | MS_NODEV, options)
    for name, target in (("tmp", "/tmp"), ("shm", "/dev/shm")):
        os.mkdir(f"{JOB}/{name}", 0o700)
        linux.mount(f"{JOB}/{name}", target, None, MS_BIND)
    for path, descriptor in held.items():
        os.makedirs(path, exist_ok=True)
        linux.mount(f"/proc/self/fd/{descriptor}", path, None, MS_BIND | linux.MS_REC)
        os.close(descriptor)
    for path, target in kept.links:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)
    mount_proc()
    _raise_loopback()


def mount_proc() -> None:
    """/proc of this process's own PID namespace, which nobody can write to."""
    linux.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | linux.MS_RDONLY)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))


def _reap_forever() -> NoReturn:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while True:
        signal.sigwait([signal.SIGCHLD])
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
