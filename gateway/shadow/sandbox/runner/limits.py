"""What the kernel bounds for each process of a job; what is bounded for the whole job is watched (`watch`)."""

from __future__ import annotations

import math
import os
import resource

from .request import Limits

_OPEN_FILES = 512
_SPARE_CPU_SECONDS = 2  # the watch says "cpu"; this limit is for when nobody watches
_SPARE_MEMORY = 2  # times the limit: the watch and the cgroup say "memory"; this is for growth between two looks
_LOCKED = 64 * 1024


def apply(limits: Limits, others: int) -> None:
    """Bound this process and all that it starts. ``others``: how many threads its user already has."""
    os.nice(19)
    cpu = math.ceil(limits.cpu) + _SPARE_CPU_SECONDS
    _set(resource.RLIMIT_CPU, cpu)
    _set(resource.RLIMIT_AS, _address_space() + _SPARE_MEMORY * limits.memory)
    _set(resource.RLIMIT_NPROC, others + limits.processes)
    _set(resource.RLIMIT_FSIZE, limits.files)
    _set(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _set(resource.RLIMIT_MEMLOCK, _LOCKED)
    _set(resource.RLIMIT_CORE, 1)  # 0 would still start a core_pattern's program, outside and as root; 1 does not
    for nothing in (resource.RLIMIT_MSGQUEUE, resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE):
        _set(nothing, 0)


def first_to_be_killed() -> None:
    """If memory runs out it is the job that the kernel ends, not the server. Needs a /proc that can be written."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)  # `open` would truncate: a right of its own
    os.write(descriptor, b"1000")
    os.close(descriptor)


def _set(kind: int, value: int) -> None:
    _, most = resource.getrlimit(kind)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(kind, (value, value))


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
