"""Cgroups for a slot, where they may be made.

One for memory counts what no look at processes sees, and ends what is over; without it the server's watch on processes
must do. One for the CPU lets a job have what nobody else wants: its processes are sessions of their own, and between
sessions Linux may share alike, however nice their processes are (sched(7), autogroup), unless a cgroup says otherwise.

Always children of the cgroup that we are in ourselves, or (version 2, where processes may only be in leaves) beside it,
so that limits set for us go on holding.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PREFIX = "yardstick-slot-"
_REMOVAL_SECONDS = 2.0
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class _Version:
    """Names of the files of a version of cgroups; ``swapless``: what to write where, so that nothing is swapped."""

    limit: str
    usage: str
    events: str
    swapless: tuple[str, str]


_LAST_OF_FIRST, _LAST_OF_SECOND = ("cpu.shares", "102"), ("cpu.weight", "10")  # of 1024, and of 100: a tenth
_FIRST = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control", ("memory.swappiness", "0"))
_SECOND = _Version("memory.max", "memory.current", "memory.events", ("memory.swap.max", "0"))


@dataclass(slots=True)
class Cgroup:
    """``processes``: the file that takes a process id."""

    _folder: Path

    @property
    def processes(self) -> str:
        return str(self._folder / "cgroup.procs")

    def remove(self) -> None:
        """Once its last process has ended; the kernel may take a moment to see that."""
        deadline = time.monotonic() + _REMOVAL_SECONDS
        while True:
            try:
                return self._folder.rmdir()
            except FileNotFoundError:
                return None
            except OSError:
                if time.monotonic() >= deadline:
                    return None
                time.sleep(0.01)


@dataclass(slots=True)
class MemoryCgroup(Cgroup):
    _version: _Version
    _kills: int = field(default=0)

    def gives_way(self) -> bool:
        """Whether it is of version 2, and from now on has the CPUs after everybody else."""
        name, value = _LAST_OF_SECOND
        if self._version is not _SECOND or not (self._folder / name).exists():
            return False
        try:
            (self._folder / name).write_text(value)
        except OSError:
            return False
        return True

    def bound(self, memory: int) -> None:
        """From now on ``memory`` bytes may be taken beyond what is taken now."""
        self._kills = self._killed()
        with contextlib.suppress(OSError):  # a limit below what is used now, and can't be freed: then the watch holds
            usage = int((self._folder / self._version.usage).read_text())
            (self._folder / self._version.limit).write_text(str(usage + memory))

    def ran_out(self) -> bool:
        """Whether the kernel had to end a process since ``bound``."""
        return self._killed() > self._kills

    def _killed(self) -> int:
        with contextlib.suppress(OSError):
            found = re.search(r"^oom_kill (\d+)", (self._folder / self._version.events).read_text(), re.MULTILINE)
            return int(found[1]) if found else 0
        return 0


def memory_cgroup(proc: Path = Path("/proc/self")) -> MemoryCgroup | None:
    """A new cgroup, None where none may be made. ``proc``: where this process's cgroups and mounts are listed."""
    for parent, version in _parents(proc, "memory"):
        if (folder := _made(parent, version.limit)) is None:
            continue
        with contextlib.suppress(OSError):
            (folder / version.swapless[0]).write_text(version.swapless[1])
        return MemoryCgroup(folder, version)
    return None


def last_cgroup(memory: MemoryCgroup | None, proc: Path = Path("/proc/self")) -> Cgroup | None:
    """A new one of what has the CPUs after everybody else; None where none may be made, or ``memory`` is that, too.

    ``memory``: of the same slot. Of version 2 it is the one for both, since a process is in one cgroup there.
    """
    if memory is not None and memory.gives_way():
        return None
    name, value = _LAST_OF_FIRST
    for parent, version in _parents(proc, "cpu"):
        if version is _FIRST and (folder := _made(parent, name)) is not None:
            with contextlib.suppress(OSError):
                (folder / name).write_text(value)
            return Cgroup(folder)
    return None


def _made(parent: Path, needed: str) -> Path | None:
    """A new folder in which the file ``needed`` can be written."""
    _sweep(parent)
    folder = parent / f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
    try:
        folder.mkdir()
    except OSError:
        return None
    if (folder / needed).exists() and os.access(folder / needed, os.W_OK):
        return folder
    Cgroup(folder).remove()
    return None


def _parents(proc: Path, controller: str) -> Iterator[tuple[Path, _Version]]:
    """Where a cgroup of the controller could be made, the best first."""
    own = dict(_own_paths((proc / "cgroup").read_text().splitlines()))
    for fields, kind, options in _mounts((proc / "mountinfo").read_text().splitlines()):
        root, mount_point = fields[3], Path(fields[4])
        name = controller if kind == "cgroup" and controller in options else "" if kind == "cgroup2" else None
        if name is None or name not in own:
            continue
        here = mount_point / os.path.relpath(own[name], root) if own[name].startswith(root) else mount_point
        if kind == "cgroup":
            yield here, _FIRST
        else:
            yield from ((folder, _SECOND) for folder in (here, here.parent) if folder != mount_point.parent)


def _own_paths(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        _, names, path = line.split(":", 2)
        yield from ((name, path) for name in names.split(","))


def _mounts(lines: Sequence[str]) -> Iterator[tuple[list[str], str, list[str]]]:
    for line in lines:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        yield before.split(" "), kind, options.split(",")


def _sweep(parent: Path) -> None:
    """Remove what a killed gateway left; what still has processes can't be removed."""
    for left in parent.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                left.rmdir()
