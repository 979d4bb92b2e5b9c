"""Landlock: a process gives up files, TCP and signals for itself and all that it starts, without any privilege."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from .linux import check, forbid_new_privileges, libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = 1, 2, 4, 8, 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_MAKE_DEVICES = 1 << 6 | 1 << 11

_ALL_FILES = ((1, 13), (2, 14), (3, 15), (5, 16))  # from this ABI on, so many rights over files exist
_NET_BIND_AND_CONNECT, _SCOPE_SOCKETS_AND_SIGNALS = 3, 3

READ = _READ_FILE | _READ_DIR
READ_AND_EXECUTE = READ | _EXECUTE
USE_DEVICE = _READ_FILE | _WRITE_FILE
EVERYTHING = (1 << 16) - 1 & ~_MAKE_DEVICES & ~_IOCTL_DEV

SCOPES_ABI, TRUNCATE_ABI = 6, 3


def abi() -> int:
    """This kernel's Landlock ABI, 0 if it has none or switched it off."""
    return max(int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))), 0)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def restrict(rules: Iterable[tuple[str, int]]) -> None:
    """Allow this process what ``rules`` say, (path, rights), and nothing else; paths that do not exist are left out.

    TCP is refused and signals and abstract sockets stay among the restricted, as far as the ABI knows them.
    """
    version = abi()
    handled = (1 << max(bits for since, bits in _ALL_FILES if version >= since)) - 1
    wanted = _Ruleset(handled, _NET_BIND_AND_CONNECT * (version >= 4), _SCOPE_SOCKETS_AND_SIGNALS * (version >= 6))
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = check(
        libc.syscall(_CREATE_RULESET, ctypes.byref(wanted), ctypes.c_size_t(size), ctypes.c_uint32(0)), "landlock"
    )
    try:
        for path, rights in rules:
            _allow(ruleset, path, rights & handled)
        forbid_new_privileges()
        check(libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _ON_FILES
        rule = _PathBeneath(rights, descriptor)
        check(
            libc.syscall(
                _ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)
            ),
            f"landlock_add_rule {path}",
        )
    finally:
        os.close(descriptor)
