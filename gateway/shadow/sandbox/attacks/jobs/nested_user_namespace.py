"""Become root in a user namespace of one's own, where much of the kernel opens up that is closed to users."""

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

USER, CHILD = 0x10000000, 17
NAMES = {
    "mount": 0x20000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "cgroup": 0x2000000,
}


def attack(ways: "Ways") -> None:
    """Succeeds with the first namespace."""

    @ways.attempt
    def unshare_user() -> object:
        return ways.syscall("unshare", USER) == 0

    @ways.attempt
    def unshare_user_and_mount() -> object:
        return ways.syscall("unshare", USER | NAMES["mount"]) == 0

    @ways.attempt
    def unshare_any_other() -> object:
        got = []
        for name, flag in NAMES.items():
            try:
                ways.syscall("unshare", flag)
                got.append(name)
            except OSError:
                continue
        return got

    @ways.attempt
    def clone_user() -> object:
        child = ways.syscall("clone", USER | CHILD, None, None, None, None)
        if child == 0:
            os._exit(0)
        return child

    @ways.attempt
    def clone3_user() -> object:
        arguments = (ctypes.c_ulong * 11)(USER, 0, 0, 0, CHILD)
        child = ways.syscall("clone3", ctypes.byref(arguments), ctypes.sizeof(arguments))
        if child == 0:
            os._exit(0)
        return child

    @ways.attempt
    def join_that_of_another() -> object:
        got = []
        for pid in (1, os.getppid(), ways.bait["victim"]):
            for kind in ("user", "mnt", "pid", "net", "ipc"):
                try:
                    held = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
                    ways.syscall("setns", held, 0)
                    got.append(kind)
                except OSError:
                    continue
        return got

    @ways.attempt
    def allow_more_of_them() -> object:
        return os.open("/proc/sys/user/max_user_namespaces", os.O_WRONLY)
