"""Use up what the kernel gives to a user in number: watches, queues, timers, descriptors, locks."""

import ctypes
import os
import resource
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """All of these are shared by the processes of a uid, or are bounded for a process."""

    def until_refused(way: Callable[[], object], most: int) -> int:
        for count in range(most):
            try:
                way()
            except OSError:
                return count
        return most

    ways.count("descriptors", until_refused(lambda: os.open("/dev/null", os.O_RDONLY), 100_000))
    for descriptor in range(16, 100_000):
        try:
            os.close(descriptor)
        except OSError:
            break
    libc = ctypes.CDLL(None, use_errno=True)

    def watch() -> None:
        if libc.inotify_init1(0) == -1:
            raise OSError(ctypes.get_errno(), "inotify_init1")

    ways.count("watches", until_refused(watch, 10_000))
    ways.count(
        "queues",
        until_refused(lambda: ways.syscall("mq_open", os.urandom(8).hex().encode(), 0o102, 0o600, None), 10_000),
    )

    @ways.attempt
    def larger_limits() -> object:
        raised = []
        for name in ("NPROC", "NOFILE", "FSIZE", "CORE", "MEMLOCK", "CPU", "AS"):
            kind = getattr(resource, f"RLIMIT_{name}")
            soft, hard = resource.getrlimit(kind)
            if hard == resource.RLIM_INFINITY:
                continue
            try:
                resource.setrlimit(kind, (soft, hard + 1))
                raised.append(name)
            except (OSError, ValueError):
                continue
        return raised

    @ways.attempt
    def dump_of_a_crash() -> object:
        return resource.getrlimit(resource.RLIMIT_CORE)[1] > 1  # with 1 there is none, nor is its program started
