"""What a slot is asked to run, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

GIB = 1024**3


class Kind(StrEnum):
    """Tests and candidate in two processes, in one, or code without tests (to try the walls)."""

    SEPARATE = "separate"
    IN_PROCESS = "in-process"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a whole job: seconds of CPU and of wall clock, bytes of memory, processes, bytes of files."""

    cpu: float = 30.0
    wall: float = 120.0
    memory: int = 4 * GIB
    processes: int = 128
    files: int = GIB // 4


@dataclass(frozen=True, slots=True)
class Job:
    """``candidate`` is source. ``task`` is JSON: "prelude", "tests", "entry_point", "names"; unused by plain code."""

    kind: Kind
    candidate: str
    task: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Outcome:
    """``end``: "exited", the limit that was reached ("cpu", "wall", "memory", "files"), or "lost" (our own fault).

    ``lines`` are the JSON objects that the job reported, in order; ``garbled`` if there was anything else among them,
    or more than a megabyte, and then what came first is kept. ``cpu`` and ``wall`` in seconds, by the server;
    ``waited``: of a job that reached its wall clock, how long a thread of it was ready to run and others had the CPUs.
    """

    end: str
    lines: tuple[dict[str, Any], ...]
    garbled: bool
    cpu: float
    wall: float
    waited: float = 0.0
