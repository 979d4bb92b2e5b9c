"""Both families on the same prompts, in one part of one stratum."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.report.rates import WeightedSums, weight_of
from gateway.shadow.report.strata import Compared, Cut
from gateway.shadow.statistics.intervals import Estimate, tasks_like_these, this_suite
from gateway.shadow.statistics.paired import PairTally, paired_difference, suite_difference
from gateway.shadow.statistics.tally import Tally
from gateway.shadow.statistics.weighted import Weighted, weighted_difference

_NEVER = (Outcome.CANCELLED, Outcome.BEYOND_WINDOW)


@dataclass(frozen=True, slots=True)
class SideRate:
    """One family's pass@1 on the pairs: of these tasks, and of tasks like these."""

    suite: Estimate
    population: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """Differences are first minus second in pass@1. What rests on verdicts is None where no pair has both.

    `difference`: for tasks like these, and `suite`: for these tasks; in both each task counts the same. `weighted`:
    each pair counts one over its propensity (Hájek). `dropped`: pairs without a verdict on some side, for an error or
    because a run was shed; `if_dropped_fail` and `if_dropped_pass`: the difference with them, what has no verdict
    counted against the first family and in its favour. `never_pairs`: cancelled, or beyond a window.
    """

    of: Compared
    cut: Cut
    difference: Estimate | None
    suite: Estimate | None
    weighted: Weighted | None
    first: SideRate | None
    second: SideRate | None
    both: int
    neither: int
    first_only: int
    second_only: int
    dropped: int
    never_pairs: int
    if_dropped_fail: Estimate | None
    if_dropped_pass: Estimate | None

    @property
    def pairs(self) -> int:
        return self.both + self.neither + self.first_only + self.second_only


@dataclass(slots=True)
class _Side:
    """Passes by task: with a verdict, and if what has none had failed or passed."""

    seen: Counter[str] = field(default_factory=Counter)
    least: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)

    def add(self, task_id: str, passed: bool | None) -> None:
        self.least[task_id] += passed is True
        self.most[task_id] += passed is not False


@dataclass(slots=True)
class PairTotals:
    """Grows with the tasks, not with the pairs."""

    _first: _Side = field(default_factory=_Side)
    _second: _Side = field(default_factory=_Side)
    _rated: Counter[str] = field(default_factory=Counter)
    _tried: Counter[str] = field(default_factory=Counter)
    _differences: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    _sums: defaultdict[str, WeightedSums] = field(default_factory=lambda: defaultdict(WeightedSums))
    _cells: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    _dropped: int = 0
    _never: int = 0

    def add(self, task_id: str, propensity: float, first: Outcome, second: Outcome) -> None:
        if first in _NEVER or second in _NEVER:
            self._never += 1
            return
        self._tried[task_id] += 1
        self._first.add(task_id, first.passed)
        self._second.add(task_id, second.passed)
        if first.passed is None or second.passed is None:
            self._dropped += 1
            return
        self._rated[task_id] += 1
        self._first.seen[task_id] += first.passed
        self._second.seen[task_id] += second.passed
        self._cells[first.passed, second.passed] += 1
        difference = int(first.passed) - int(second.passed)
        self._differences[task_id][difference] += 1
        self._sums[task_id].add(weight_of(propensity), difference)

    def row(self, of: Compared, cut: Cut) -> PairRow:
        first, second = self._first, self._second
        return PairRow(
            of=of,
            cut=cut,
            difference=_difference(first.seen, second.seen, self._rated),
            suite=_suite(self._differences.values()),
            weighted=weighted_difference([sums.sum for sums in self._sums.values()]),
            first=_rate(first.seen, self._rated),
            second=_rate(second.seen, self._rated),
            both=self._cells[True, True],
            neither=self._cells[False, False],
            first_only=self._cells[True, False],
            second_only=self._cells[False, True],
            dropped=self._dropped,
            never_pairs=self._never,
            if_dropped_fail=_difference(first.least, second.most, self._tried),
            if_dropped_pass=_difference(first.most, second.least, self._tried),
        )


def _tallies(passed: Counter[str], of: Counter[str]) -> list[Tally]:
    return [Tally(passed[task_id], count) for task_id, count in of.items()]


def _difference(first: Counter[str], second: Counter[str], of: Counter[str]) -> Estimate | None:
    pairs = list(zip(_tallies(first, of), _tallies(second, of), strict=True))
    return paired_difference(pairs) if pairs else None


def _suite(differences: Iterable[Counter[int]]) -> Estimate | None:
    tallies = [PairTally(counts[1], counts[0], counts[-1]) for counts in differences]
    return suite_difference(tallies) if tallies else None


def _rate(passed: Counter[str], of: Counter[str]) -> SideRate | None:
    tallies = _tallies(passed, of)
    return SideRate(this_suite(tallies), tasks_like_these(tallies)) if tallies else None
