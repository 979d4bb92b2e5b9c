"""A slot with a script: what each kind of job comes to, in place of a sandbox."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Self

from gateway.shadow.sandbox.job import Job, Outcome

Script = Callable[[Job], Outcome]


def passes(job: Job, *, wall: float = 0.25) -> Outcome:
    lines = [{"test": name, "outcome": "pass", "reason": ""} for name in job.task["names"]]
    return Outcome("exited", (*lines, {"end": True}), garbled=False, cpu=wall, wall=wall)


def fails(job: Job, reason: str = "AssertionError: 1 != 2", **extra: Any) -> Outcome:
    lines = [{"test": name, "outcome": "fail", "reason": reason} for name in job.task["names"]]
    return Outcome("exited", (*([extra] if extra else []), *lines, {"end": True}), garbled=False, cpu=0.5, wall=0.5)


def ends(end: str, *, waited: float = 0.0) -> Outcome:
    return Outcome(end, (), garbled=False, cpu=1.0, wall=1.0, waited=waited)


class ScriptedSlot:
    """Notes the jobs. `lacks`: the modules that are not installed."""

    def __init__(self, script: Script, *, lacks: Collection[str] = ()) -> None:
        self._script, self._lacks = script, frozenset(lacks)
        self.jobs = list[Job]()
        self.opened = self.closed = 0
        self.interrupted = threading.Event()

    def run(self, job: Job) -> Outcome:
        self.jobs.append(job)
        return self._script(job)

    def missing(self, modules: Collection[str]) -> frozenset[str]:
        return self._lacks & set(modules)

    def interrupt(self) -> None:
        self.interrupted.set()

    @property
    def kinds(self) -> list[str]:
        return [str(job.kind) for job in self.jobs]

    def __enter__(self) -> Self:
        self.opened += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed += 1


def in_turn(*outcomes: Outcome | Script) -> Script:
    """One after another, whatever the job."""
    left = list(outcomes)

    def script(job: Job) -> Outcome:
        step = left.pop(0)
        return step if isinstance(step, Outcome) else step(job)

    return script


def count(jobs: Collection[Job]) -> Counter[str]:
    return Counter(job.candidate for job in jobs)
