"""A slot's runs, and those that are run again because it was not the job's doing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.shadow.sandbox.job import Job, Outcome
from gateway.shadow.score.check import Runs

_KEPT_WAITING = 0.1  # of its time: with less, a job that took too long did so by itself, and is not run again
_LONGER = 4  # times as long may the repeated run take; how much CPU it may use stays


class Stopped(Exception):
    """The scoring was given up."""


class Repeated:
    """Once more if the server died, and with more time if others had the CPUs until it was up.

    `lost`: whether the last job's server died twice. Raises Stopped instead of starting anything once `stopping` says
    so: what an interrupted slot reports is no verdict.
    """

    def __init__(self, slot: Runs, stopping: Callable[[], bool]) -> None:
        self._slot, self._stopping = slot, stopping
        self.missing = slot.missing
        self.lost = False

    def run(self, job: Job) -> Outcome:
        outcome = self._once(job)
        if outcome.end == "lost":
            outcome = self._once(job)
        if outcome.end == "wall" and outcome.waited > _KEPT_WAITING * job.limits.wall:
            outcome = self._once(replace(job, limits=replace(job.limits, wall=_LONGER * job.limits.wall)))
        self.lost = outcome.end == "lost"
        return outcome

    def _once(self, job: Job) -> Outcome:
        if self._stopping():
            raise Stopped
        outcome = self._slot.run(job)
        if self._stopping():
            raise Stopped
        return outcome
