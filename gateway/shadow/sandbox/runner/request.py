"""What the host asks the fork server for: a job, its limits, and three descriptors that the server never reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .check.known import Standing

PLAIN, IN_PROCESS, SEPARATE = "plain", "in-process", "separate"
_DESCRIPTORS = 3


@dataclass(frozen=True)
class Limits:
    """Of the whole job: CPU and wall clock in seconds, memory and files in bytes, processes."""

    cpu: float
    wall: float
    memory: int
    processes: int
    files: int


@dataclass(frozen=True)
class Request:
    """``candidate`` and ``task`` can be read, ``report`` can be written. ``standing``: what the server knows."""

    kind: str
    limits: Limits
    candidate: int
    task: int
    report: int
    standing: Standing | None = None

    def close(self) -> None:
        for descriptor in (self.candidate, self.task, self.report):
            os.close(descriptor)


def request(header: dict[str, Any], descriptors: list[int]) -> Request:
    """Raises ValueError for what the host should not have sent."""
    if len(descriptors) != _DESCRIPTORS or header.get("kind") not in (PLAIN, IN_PROCESS, SEPARATE):
        raise ValueError("not a job")
    candidate, task, report = descriptors
    return Request(header["kind"], Limits(**header["limits"]), candidate, task, report)
