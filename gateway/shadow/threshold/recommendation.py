"""What is recommended, and all that a report of it prints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    RECOMMENDED = "recommended"
    INFEASIBLE = "no feasible T"
    REFUSED = "refused"
    """The evidence does not stand for the traffic."""


class Limit(StrEnum):
    """What may keep a threshold from being chosen."""

    QUALITY = "quality"
    TAIL = "quality just below T"
    EVIDENCE = "evidence"
    SHORT_TTFT = "TTFT of the short pool"
    SHORT_ITL = "ITL of the short pool"
    SHORT_UTILISATION = "utilisation of the short pool"
    LONG_TTFT = "TTFT of the long pool"
    LONG_ITL = "ITL of the long pool"
    LONG_UTILISATION = "utilisation of the long pool"
    WINDOW = "window of the short family"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One threshold. `share`: of the live prompts, that it sends to the short family. `cost`: GPU-seconds a request.

    `loss`: of pass@1, on those prompts, and `upper` its bound; `fitted`: the monotone fit of short minus long just
    below the threshold (None at 0). `effective`: tasks, after weighting. `uncovered`: share of those prompts without
    tasks of their length. `regret`: how much dearer than the cheapest feasible one, with confidence; None if not
    feasible.
    """

    threshold: int
    share: float
    cost: float
    loss: float
    upper: float
    fitted: float | None
    effective: float
    uncovered: float
    fails: tuple[Limit, ...]
    regret: float | None = None

    @property
    def feasible(self) -> bool:
        return not self.fails


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """`threshold`: prompts of at most so many tokens go to the short family; None unless one is recommended.

    `within_regret`: the thresholds that cost at most the allowed regret more. `binding`: what keeps the nearest cheaper
    threshold from being chosen; empty if cost alone decides. `stops_larger`, `stops_smaller`: what the neighbours fail,
    or "cost", or "no candidate". `quality_alone`: the threshold if cost did not matter, and `crossover` the interval of
    the length at which the short family stops being better. `conflict`: limits of which no threshold meets all, as
    few as possible; only if none is feasible.
    """

    status: Status
    threshold: int | None
    reasons: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    within_regret: tuple[int, ...]
    binding: tuple[Limit, ...]
    stops_larger: tuple[str, ...]
    stops_smaller: tuple[str, ...]
    quality_alone: int
    crossover: tuple[int, int]
    conflict: tuple[Limit, ...]
    effective: float
    tasks: int
    prompts: int

    @property
    def chosen(self) -> Candidate | None:
        return next((row for row in self.candidates if row.threshold == self.threshold), None)
