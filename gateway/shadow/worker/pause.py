"""Scoring is paused since a control failed; that control is tried again, ever more seldom, until it passes."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.shadow.store import Claim, Gap


@dataclass(slots=True)
class Pause:
    """`since`: seconds since 1970; `next_try`: of the monotonic clock, None while a try is under way."""

    control: Claim
    since: float
    next_try: float | None
    wait: float
    longest: float

    @property
    def why(self) -> str:
        """Says what, and quotes nothing of it."""
        sample = self.control.sample
        came = "canonical control did not pass" if sample.control else "known-bad control passed"
        return f"scoring was paused: the {came} ({sample.task_id} of {sample.suite})"

    def due(self, now: float) -> bool:
        return self.next_try is not None and now >= self.next_try

    def tried_in_vain(self, now: float) -> None:
        self.wait = min(2 * self.wait, self.longest)
        self.next_try = now + self.wait

    def gap(self, source: str, until: float | None = None) -> Gap:
        return Gap(source, self.since, self.why, until)
