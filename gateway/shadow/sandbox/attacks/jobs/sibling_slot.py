"""Reach a job that runs in another slot at the same time: its files, its memory, its processes, its names."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

KEY = 0x59530002
PLACES = (".", "/", "/tmp", "/dev/shm", "/run", "/var/tmp", "/dev/mqueue")


def beside(ways: "Ways") -> None:
    """The sibling: lays itself open for a moment, and says whether anything reached it."""
    reached: list[int] = []
    signal.signal(signal.SIGURG, lambda *_: reached.append(1))
    for place in PLACES:
        try:
            with open(f"{place}/sibling-{ways.bait['mark']}", "w") as file:
                file.write("here")
        except OSError:
            continue
    listener = None
    try:
        ways.syscall("shmget", KEY, 4096, 0o1666)
    except OSError:
        pass
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\0sibling-" + ways.bait["mark"])
        listener.listen()
        listener.setblocking(False)
    except OSError:
        pass
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        time.sleep(0.05)
    try:
        if listener is not None:
            listener.accept()
            reached.append(2)
    except OSError:
        pass

    @ways.here
    def reached_by_the_other() -> object:
        return reached


def attack(ways: "Ways") -> None:
    """Looks again and again while the sibling runs."""
    mark = f"sibling-{ways.bait['mark']}"
    until = time.monotonic() + 0.5

    def again(way: Callable[[], object]) -> object:
        refused: OSError | None = None
        while time.monotonic() < until:
            try:
                got = way()
            except OSError as error:
                refused, got = error, None
            if got:
                return got
            time.sleep(0.02)
        if refused:
            raise refused
        return None

    def files() -> object:
        return [place for place in (*PLACES, *sys.path) if place and os.path.exists(f"{place}/{mark}")]

    def files_through_the_root_of_others() -> object:
        return [
            f"/proc/{pid}/root{place}"
            for pid in os.listdir("/proc")
            if pid.isdigit()
            for place in ("/tmp", "/dev/shm")
            if os.path.exists(f"/proc/{pid}/root{place}/{mark}")
        ]

    def signals() -> object:
        os.kill(-1, signal.SIGURG)  # reaches the job's own, so only the sibling can tell
        return None

    def shared_memory() -> object:
        return str(ways.syscall("shmget", KEY, 4096, 0))

    def abstract_name() -> object:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect("\0" + mark)
            return "connected"

    def way() -> object:
        got = {}
        for each in (files, files_through_the_root_of_others, signals, shared_memory, abstract_name):
            try:
                found = each()
            except OSError:
                continue
            if found:
                got[each.__name__] = found
        return got

    @ways.here
    def any_of_it() -> object:
        signal.signal(signal.SIGURG, signal.SIG_IGN)
        return again(way)
