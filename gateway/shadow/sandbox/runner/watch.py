"""What a job's whole tree uses, as the server sees it in /proc."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """``own_cpu`` and ``waited_cpu`` (of children it waited for) in seconds, ``resident`` in bytes, shared too."""

    pid: int
    parent: int
    own_cpu: float
    waited_cpu: float
    resident: int
    started: int


def processes() -> list[Process]:
    """All that can be seen in /proc."""
    found = (_process(name) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process is not None]


def _process(name: str) -> Process | None:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None  # it has ended meanwhile
    own, waited = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    resident = int(fields[21]) * _PAGE
    return Process(int(name), int(fields[1]), own / _TICKS, waited / _TICKS, resident, int(fields[19]))


def descendants(root: int) -> list[Process]:
    """All processes below ``root``; the server adopts orphans, so nothing gets away."""
    children: dict[int, list[Process]] = {}
    for process in processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [root]
    while waiting:
        below = children.pop(waiting.pop(), [])
        found += below
        waiting += [process.pid for process in below]
    return found


def threads_of(user: int) -> int:
    """How many threads run as ``user``: what RLIMIT_NPROC counts."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue
    return count


def waited(tree: list[Process]) -> float:
    """Seconds that a thread of ``tree`` was ready to run and got no CPU; those that ended are left out.

    The most of any thread: what one had to wait is what the job had to wait. Without schedstat in the kernel it can't
    be known, and is infinite.
    """
    return max((_delay(process.pid) for process in tree), default=0.0)


def _delay(pid: int) -> float:
    most = 0.0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as file:
                most = max(most, int(file.read().split()[1]) / 1e9)
    except (FileNotFoundError, ProcessLookupError):
        return most if os.path.exists("/proc/self/schedstat") else math.inf
    return most


def memory(tree: list[Process], enough: int) -> int:
    """Bytes that ``tree`` takes. Shared pages are divided, but only once their whole sum would be too much."""
    total = sum(process.resident for process in tree)
    return total if total <= enough else sum(_proportional(process) for process in tree)


def _proportional(process: Process) -> int:
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", "rb") as file:
            sizes = [int(line.split()[1]) for line in file if line.startswith(b"Pss:")]
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended meanwhile
    except OSError:
        return process.resident  # it hides, or an old kernel: then all counts
    return sum(sizes) * 1024


@dataclass
class CpuMeter:
    """CPU seconds of a tree over its life, also of processes that end between two looks."""

    _seen: dict[tuple[int, int], float] = field(default_factory=dict)
    _most: float = 0.0

    def add(self, tree: list[Process]) -> float:
        """The sum so far, after another look at the tree. It never falls."""
        for process in tree:
            self._seen[process.pid, process.started] = process.own_cpu
        living = sum(process.own_cpu + process.waited_cpu for process in tree)
        self._most = max(self._most, living, sum(self._seen.values()))
        return self._most


class HiddenMemory:
    """Shared pages that no process has in its tables: they are charged to nobody, and only the machine's sum grows.

    Others add to that sum too, so it counts only against a job that has shared memory without a file.
    """

    def __init__(self) -> None:
        self._before = _shared_on_this_machine()

    def grown(self, tree: list[Process], enough: int) -> int:
        """Bytes since the start, 0 if they are not more than ``enough`` or not this job's."""
        grown = _shared_on_this_machine() - self._before
        return grown if grown > enough and any(_shares_memory(process.pid) for process in tree) else 0


def _shared_on_this_machine() -> int:
    with open("/proc/meminfo", "rb") as file:
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"Shmem:")), 0)


def _shares_memory(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            return any(line.split(None, 2)[1].endswith(b"s") and b" /dev/zero " in line for line in file)
    except (FileNotFoundError, ProcessLookupError):
        return False  # it has ended meanwhile
    except OSError:
        return True  # it hides
