"""One family's runs in one part of one stratum: pass@1 and all that was left out of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.report.strata import Compared, Cut
from gateway.shadow.score.verdict import Says
from gateway.shadow.statistics.intervals import Estimate, tasks_like_these, this_suite
from gateway.shadow.statistics.tally import Tally
from gateway.shadow.statistics.weighted import TaskSum, Weighted, weighted_rate
from gateway.shadow.store import Scored

IN_PROCESS = "/in-process"
"""How the levels end at which a pass can be forged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """`suite`, `population` and `weighted` are None where no completion has a verdict.

    `suite`: these tasks; `population`: tasks like these; in both each task counts the same. `weighted`: each draw
    counts one over its propensity (Hájek). `outcomes` has every run that is done. `forgeable`: passes that were checked
    in the candidate's own process. `redacted`: answers from which secrets were cut before they were scored.
    """

    of: Compared
    cut: Cut
    suite: Estimate | None
    population: Estimate | None
    weighted: Weighted | None
    outcomes: Counter[Outcome]
    levels: Counter[str]
    forgeable: int
    redacted: int
    tokens_in: int
    tokens_out: int
    environments: tuple[str, ...]


class WeightedSums:
    """A task's draws as they come."""

    __slots__ = ("squares", "value", "weight")

    def __init__(self) -> None:
        self.weight = self.value = self.squares = 0.0

    def add(self, weight: float, value: float) -> None:
        self.weight += weight
        self.value += weight * value
        self.squares += weight * weight

    @property
    def sum(self) -> TaskSum:
        return TaskSum(self.weight, self.value, self.squares)


def estimates(tallies: Sequence[Tally]) -> tuple[Estimate, Estimate] | tuple[None, None]:
    """Of these tasks, and of tasks like these; each task counts the same. None without any."""
    return (this_suite(tallies), tasks_like_these(tallies)) if tallies else (None, None)


def weight_of(propensity: float) -> float:
    """One over the chance of being drawn. What could not be drawn stands for nothing."""
    return 1 / propensity if propensity > 0 else 0.0


@dataclass(slots=True)
class RunTotals:
    """Grows with the tasks, not with the runs."""

    _passed: Counter[str] = field(default_factory=Counter)
    _rated: Counter[str] = field(default_factory=Counter)
    _sums: defaultdict[str, WeightedSums] = field(default_factory=lambda: defaultdict(WeightedSums))
    _outcomes: Counter[Outcome] = field(default_factory=Counter)
    _levels: Counter[str] = field(default_factory=Counter)
    _environments: set[str] = field(default_factory=set)
    _forgeable: int = 0
    _redacted: int = 0
    _tokens_in: int = 0
    _tokens_out: int = 0

    def add(self, task_id: str, propensity: float, scored: Scored, outcome: Outcome) -> None:
        run = scored.run
        self._outcomes[outcome] += 1
        self._redacted += run.redacted
        self._tokens_in += run.tokens_in
        self._tokens_out += run.tokens_out
        for score in scored.scores[:1]:
            self._levels[score.level] += 1
            self._environments.add(score.environment)
            self._forgeable += score.says is Says.PASS and score.level.endswith(IN_PROCESS)
        if (passed := outcome.passed) is not None:
            self._rated[task_id] += 1
            self._passed[task_id] += passed
            self._sums[task_id].add(weight_of(propensity), passed)

    def row(self, of: Compared, cut: Cut) -> RunRow:
        suite, population = estimates([Tally(self._passed[task_id], count) for task_id, count in self._rated.items()])
        return RunRow(
            of=of,
            cut=cut,
            suite=suite,
            population=population,
            weighted=weighted_rate([sums.sum for sums in self._sums.values()]),
            outcomes=self._outcomes,
            levels=self._levels,
            forgeable=self._forgeable,
            redacted=self._redacted,
            tokens_in=self._tokens_in,
            tokens_out=self._tokens_out,
            environments=tuple(sorted(self._environments)),
        )
