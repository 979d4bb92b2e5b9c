"""A user for each slot: started as root, a slot's processes share their user with no other process on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.shadow.sandbox.interpreter import SandboxError

_FIRST, _LAST = 61_000, 64_999


@dataclass(frozen=True, slots=True)
class User:
    """A user id that no other slot on this machine takes until it is released, or this process ends."""

    uid: int
    _lock: socket.socket

    def end_processes(self) -> None:
        """Kill all that still runs as this user, in one step: what a killed server left behind."""
        if self.uid in _users_of_processes():
            subprocess.run(["/bin/sh", "-c", "kill -9 -1"], user=self.uid, group=self.uid, extra_groups=[], check=False)

    def release(self) -> None:
        self._lock.close()


def own_user(uid: int | None = None) -> User | None:
    """A free user (or ``uid``, if that is free); None if we are not root and so have to stay who we are."""
    if os.geteuid() != 0:
        return None
    taken = set(_users_of_processes())
    for candidate in range(_FIRST, _LAST + 1) if uid is None else (uid,):
        if candidate in taken or candidate == 0:
            continue
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0yardstick-sandbox-uid-{candidate}")  # the kernel frees an abstract name with its process
        except OSError:
            lock.close()
            continue
        return User(candidate, lock)
    raise SandboxError("every user id from 61000 to 64999 is taken" if uid is None else f"user id {uid} is taken")


def _users_of_processes() -> Iterator[int]:
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            yield os.stat(f"/proc/{name}").st_uid
        except OSError:
            continue
