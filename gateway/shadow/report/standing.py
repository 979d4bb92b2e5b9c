"""pass@1 as it stands: the report's own rates of whole strata and of their groups, from passes by task alone.

A report reads every run, and can weight and compare; this is for who wants these figures again and again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.shadow.report.rates import estimates
from gateway.shadow.report.strata import WHOLE, Compared, Cut, Groups, Stratum
from gateway.shadow.statistics.intervals import Estimate
from gateway.shadow.statistics.tally import Tally
from gateway.shadow.store import TaskTally


@dataclass(frozen=True, slots=True)
class Standing:
    """One model's rate in a stratum, or in one group of its tasks; each task counts the same."""

    cut: Cut
    suite: Estimate
    population: Estimate


def standing(tallies: Iterable[TaskTally], groups: Groups) -> dict[Compared, list[Standing]]:
    """By stratum and model: the whole first, then groups by name. Those with the most answers come first."""
    found: defaultdict[Compared, defaultdict[Cut, list[Tally]]] = defaultdict(lambda: defaultdict(list))
    answers: defaultdict[Compared, int] = defaultdict(int)
    for each in tallies:
        of = Compared(_stratum(each), (each.served,))
        answers[of] += each.rated
        for cut in (WHOLE, *groups.cuts(each.task_id)):
            found[of][cut].append(Tally(each.passed, each.rated))
    ordered = sorted(found, key=lambda of: (-answers[of], repr(of)))
    return {of: list(_rates(found[of])) for of in ordered}


def _rates(cuts: dict[Cut, list[Tally]]) -> Iterator[Standing]:
    for cut in sorted(cuts, key=lambda cut: (cut.by, cut.name)):
        suite, population = estimates(cuts[cut])
        if suite is not None and population is not None:
            yield Standing(cut, suite, population)


def _stratum(of: TaskTally) -> Stratum:
    return Stratum(of.kind, of.sample_kind, of.suite, of.form, of.sampling, of.inflated)
