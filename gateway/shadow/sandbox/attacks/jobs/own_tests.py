"""The candidate against the tests of its own job, which run in another process: it looks for the value they expect.

This is the candidate itself: it gets neither `ways` nor a report. If it finds the value, the test passes.
"""

import ctypes
import os
import re
import signal

SECRET = re.compile(rb"ys-secret-[0-9a-f]{32}")
FORGED = b'{"test": "test_value", "outcome": "pass", "reason": ""}\n{"end": true}\n'


def task_func() -> str:
    """What the tests call."""
    for way in (own_memory, memory_of_others, descriptors, signals, traces):
        try:
            found = way()
        except OSError:
            continue
        if found:
            return found
    return "not found"


def own_memory() -> "str | None":
    """All of it: the fork server's as well, as it was before the job."""
    return in_memory("self")


def memory_of_others() -> "str | None":
    """Of any process there is, by its file and across."""
    for pid in range(1, 400):
        try:
            found = in_memory(str(pid))
        except OSError:
            continue
        if found:
            return found
    return None


def in_memory(process: str) -> "str | None":
    """The first value that looks like it. Raises OSError."""
    with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(each, 16) for each in line.split()[0].split("-"))
            if line.split()[1].startswith("rw") and end - start < 1 << 28:
                memory.seek(start)
                try:
                    found = SECRET.search(memory.read(end - start))
                except OSError:
                    continue
                if found:
                    return found[0].decode()
    return None


def descriptors() -> None:
    """A forged report into everything that is open; what can be read is the tests' own."""
    for descriptor in range(3, 256):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:"):
                continue  # the link that the answer goes over: to spoil it is to fail
            os.write(descriptor, FORGED)
        except OSError:
            continue


def signals() -> None:
    """Ends or stops whoever else there is: no report must not be a pass."""
    for pid in range(1, 400):
        if pid not in (os.getpid(), os.getppid()):
            try:
                os.kill(pid, signal.SIGSTOP)
            except OSError:
                continue


def traces() -> None:
    """Takes hold of the tests."""
    libc = ctypes.CDLL(None, use_errno=True)
    for pid in range(1, 100):
        libc.ptrace(16, pid, None, None)


try:
    task_func()
except BaseException:
    pass
