"""What many verdicts come to: pass@k, intervals, counts, and the same by domain or category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.shadow.score.verdict import Says, Verdict
from gateway.shadow.statistics.intervals import Estimate, tasks_like_these, this_suite
from gateway.shadow.statistics.tally import Tally, mean_pass_at_k
from gateway.shadow.suites.task import Suite

_KS = (1, 2, 5, 10, 20, 50, 100)
_MOST_ERRORS = 200


@dataclass(frozen=True, slots=True)
class Group:
    """`by_library`: pass@1 where a task counts once for each of its libraries in the domain, as the official analysis
    of BigCodeBench has it; the same as `estimate.value` for categories."""

    name: str
    estimate: Estimate
    by_library: float


class Results:
    """Counts verdicts as they come; memory grows with the tasks, not with the samples."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._passed: Counter[str] = Counter()
        self._rated: Counter[str] = Counter()
        self.says: Counter[Says] = Counter()
        self.levels: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.example: dict[str, str] = {}

    def add(self, verdict: Verdict) -> None:
        self.says[verdict.says] += 1
        self.levels[verdict.level] += 1
        if verdict.says is Says.ERROR:
            cause = verdict.reason if verdict.reason in self.errors or len(self.errors) < _MOST_ERRORS else "others"
            self.errors[cause] += 1
            self.example.setdefault(cause, verdict.task_id)
        else:
            self._rated[verdict.task_id] += 1
            self._passed[verdict.task_id] += verdict.says is Says.PASS

    @property
    def tallies(self) -> dict[str, Tally]:
        """Of the tasks with a verdict that is no error."""
        return {task_id: Tally(self._passed[task_id], count) for task_id, count in self._rated.items()}

    def pass_at(self) -> dict[int, float]:
        """pass@k for every usual k that all tasks have completions for."""
        tallies = list(self.tallies.values())
        least = min((tally.completions for tally in tallies), default=0)
        return {k: mean_pass_at_k(tallies, k) for k in _KS if k <= least}

    def estimates(self) -> tuple[Estimate, Estimate] | None:
        """pass@1 of this suite, and of tasks like these; None without a verdict that counts."""
        tallies = list(self.tallies.values())
        return (this_suite(tallies), tasks_like_these(tallies)) if tallies else None

    def groups(self) -> list[Group]:
        """A task belongs to every domain of its libraries."""
        tallies = self.tallies
        members: dict[str, list[str]] = {}
        for task_id in tallies:
            for name in self._suite.tasks[task_id].groups:
                members.setdefault(name, []).append(task_id)
        return [_group(name, ids, tallies) for name, ids in sorted(members.items())]


def _group(name: str, ids: Sequence[str], tallies: dict[str, Tally]) -> Group:
    rates = [tallies[task_id].rate for task_id in ids]
    return Group(name, this_suite([tallies[task_id] for task_id in dict.fromkeys(ids)]), sum(rates) / len(rates))
