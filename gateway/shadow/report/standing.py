"""pass@1 as it stands: the report's own rates of whole strata and of their groups, and those by prompt length in the
buckets of the gateway's metrics, from passes by task alone.

A report reads every run, and can weight and compare; this is for who wants these figures again and again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gateway.shadow.report.rates import estimates
from gateway.shadow.report.strata import WHOLE, By, Compared, Cut, Groups, Stratum
from gateway.shadow.statistics.intervals import Estimate
from gateway.shadow.statistics.tally import Tally
from gateway.shadow.store import TaskTally
from gateway.telemetry.names import LENGTHS

_LENGTH = {length: Cut(By.LENGTH, place, length) for place, length in enumerate(LENGTHS)}


@dataclass(frozen=True, slots=True)
class Standing:
    """One model's rate in a stratum, in one group of its tasks, or at one length; each task counts the same."""

    cut: Cut
    suite: Estimate
    population: Estimate


def standing(tallies: Iterable[TaskTally], groups: Groups) -> dict[Compared, list[Standing]]:
    """By stratum and model, those with the most answers first: the whole, then groups by name, then lengths."""
    found: defaultdict[Compared, defaultdict[Cut, defaultdict[str, _Sum]]]
    found = defaultdict(lambda: defaultdict(lambda: defaultdict(_Sum)))
    answers: defaultdict[Compared, int] = defaultdict(int)
    for each in tallies:
        of = Compared(_stratum(each), (each.served,))
        answers[of] += each.rated
        for cut in (WHOLE, *groups.cuts(each.task_id), _LENGTH[each.length]):
            found[of][cut][each.task_id].add(each)
    ordered = sorted(found, key=lambda of: (-answers[of], repr(of)))
    return {of: list(_rates(found[of])) for of in ordered}


class _Sum:
    """A task's answers at all lengths that count."""

    __slots__ = ("passed", "rated")

    def __init__(self) -> None:
        self.passed = self.rated = 0

    def add(self, tally: TaskTally) -> None:
        self.passed += tally.passed
        self.rated += tally.rated


def _rates(cuts: Mapping[Cut, Mapping[str, _Sum]]) -> Iterator[Standing]:
    for cut in sorted(cuts, key=lambda cut: (cut.by, cut.order, cut.name)):
        suite, population = estimates([Tally(task.passed, task.rated) for task in cuts[cut].values()])
        if suite is not None and population is not None:
            yield Standing(cut, suite, population)


def _stratum(of: TaskTally) -> Stratum:
    return Stratum(of.kind, of.sample_kind, of.suite, of.form, of.sampling, of.inflated)
