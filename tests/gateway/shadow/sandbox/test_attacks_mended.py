"""What attacks once got through, and what must go on working all the same."""

from __future__ import annotations

import errno

import pytest

from gateway.shadow.sandbox.job import Job, Kind
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.runner.bpf import ALLOW
from gateway.shadow.sandbox.slot import Slot
from tests.gateway.shadow.sandbox.test_seccomp import MACHINES, asking_landlock, refused

FILES = """
import os, pathlib, shutil
pathlib.Path("new").touch()
pathlib.Path("new").touch()
os.utime("new", (1, 1))
shutil.copy2("new", "copy")
report({"new": os.path.exists("new"), "copy": os.stat("copy").st_mtime})
"""
PRIORITIES = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
numbers = {"x86_64": (141, 251), "aarch64": (140, 30)}[os.uname().machine]
said = []
for number, of_process, of_group, of_user, value in (numbers[0], 0, 1, 2, 19), (numbers[1], 1, 2, 3, 3 << 13):
    for which in (of_process, of_group, of_user):
        said.append(libc.syscall(number, which, 0, value))
report({"said": said})
"""
BUFFERS = """
import socket
one, other = socket.socketpair()
before = one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
report({"grown": one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - before})
"""


def test_files_of_ones_own_can_be_touched(slot: Slot) -> None:
    assert slot.run(Job(Kind.PLAIN, FILES)).lines == ({"new": True, "copy": 1.0},)


def test_without_a_pid_namespace_the_priority_is_ones_own_alone(slot: Slot) -> None:
    if slot.level is Level.LANDLOCK:
        assert slot.run(Job(Kind.PLAIN, PRIORITIES)).lines == ({"said": [0, -1, -1, 0, -1, -1]},)


def test_buffers_do_not_grow(slot: Slot) -> None:
    assert slot.run(Job(Kind.PLAIN, BUFFERS)).lines == ({"grown": 0},)


@pytest.mark.parametrize("machine", list(MACHINES))
def test_of_an_ordinary_users_files_only_now_is_refused_and_all_else_pretended(machine: str) -> None:
    ask = asking_landlock(machine)
    assert ask("utimensat", 0, 1, 0) == refused(errno.EPERM)  # then `Path.touch` opens the file, and so makes it
    assert ask("utimensat", 0, 1, 0x7F0000001000) == refused(0)
    assert ask("fchmodat", 0, 1, 0o777) == refused(0)


@pytest.mark.parametrize("machine", list(MACHINES))
def test_with_a_user_of_its_own_a_job_sets_times_but_no_attributes(machine: str) -> None:
    ask = asking_landlock(machine, own_user=True)
    assert ask("utimensat", 0, 1, 0) == ask("fchmodat", 0, 1, 0o777) == ALLOW
    assert ask("lsetxattr", 1, 2, 3, 4) == refused(errno.ENOTSUP)
