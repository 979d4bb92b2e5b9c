"""Scoring is paused: what showed that it is broken is tried again, ever more seldom, until it comes out right."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.shadow.store import Claim, Gap


@dataclass(slots=True)
class Pause:
    """`since`: seconds since 1970; `next_try`: of the monotonic clock, None while a try is under way."""

    tried: Claim
    why: str
    since: float
    next_try: float | None
    wait: float
    longest: float

    def due(self, now: float) -> bool:
        return self.next_try is not None and now >= self.next_try

    def tried_in_vain(self, now: float) -> None:
        self.wait = min(2 * self.wait, self.longest)
        self.next_try = now + self.wait

    def gap(self, source: str, until: float | None = None) -> Gap:
        return Gap(source, self.since, self.why, until)


def because_of_control(control: Claim) -> str:
    """Says what, and quotes nothing of it."""
    sample = control.sample
    came = "canonical control did not pass" if sample.control else "known-bad control passed"
    return f"scoring was paused: the {came} ({sample.task_id} of {sample.suite})"


def because_of_sandbox(why: str) -> str:
    return f"scoring was paused: the sandbox is down: {why}"
