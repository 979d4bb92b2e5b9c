"""From samples, as the store gives them, to a report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import TypeVar

from gateway.shadow.canary.mix import LiveMix
from gateway.shadow.gate.draws import Kind, Rerun
from gateway.shadow.report.pairs import PairTotals
from gateway.shadow.report.rates import RunTotals
from gateway.shadow.report.report import Asked, Counted, Report
from gateway.shadow.report.strata import Compared, Cut, Groups, Stratum, cuts
from gateway.shadow.report.traffic import TrafficTotals, TrafficWeighted
from gateway.shadow.store import Drawn, Evidence, Role, Sample, Wanted

Totals = TypeVar("Totals")
Place = tuple[Compared, Cut]


class Collector:
    """Takes samples one by one; memory grows with tasks and strata, not with samples."""

    def __init__(self, asked: Asked, groups: Groups) -> None:
        self._asked, self._groups = asked, groups
        self._runs: defaultdict[Place, RunTotals] = defaultdict(RunTotals)
        self._pairs: defaultdict[Place, PairTotals] = defaultdict(PairTotals)
        self._traffic: defaultdict[Compared, TrafficTotals] = defaultdict(TrafficTotals)
        self._controls: Counter[tuple[bool, bool | None]] = Counter()
        self._samples = self._single = self._open = self._reruns = self._flips = 0
        self._first_at: float | None = None
        self._last_at: float | None = None
        self._ungrouped: set[str] = set()

    def add(self, drawn: Drawn) -> None:
        """A sample, in the order of drawing. What was not asked for is left out."""
        sample = drawn.sample
        if not self._asked.takes_suite(sample.suite):
            return
        self._open += sum(scored.outcome is None for scored in drawn.runs)
        self._scored_again(drawn)
        if sample.control is not None:
            for outcome in (scored.outcome for scored in drawn.runs if scored.outcome is not None):
                self._controls[sample.control, outcome.passed] += 1
            return
        self._samples += 1
        self._single += len(drawn.runs) == 1
        self._first_at = sample.at if self._first_at is None else self._first_at
        self._last_at = sample.at
        if sample.task_id not in self._groups:
            self._ungrouped.add(sample.suite)
        parts = tuple(cuts(sample, self._groups))
        self._add_runs(drawn, parts)
        self._add_pair(drawn, parts)

    def report(self, counted: Counted, mix: LiveMix | None) -> Report:
        """`mix`: what live traffic is like; without one, nothing is weighted by it."""
        return Report(
            asked=self._asked,
            samples=self._samples,
            single=self._single,
            open_runs=self._open,
            first_at=self._first_at,
            last_at=self._last_at,
            runs=tuple(totals.row(of, cut) for (of, cut), totals in _ordered(self._runs)),
            pairs=tuple(totals.row(of, cut) for (of, cut), totals in _ordered(self._pairs)),
            traffic=tuple(self._on_traffic(mix)) if mix else (),
            controls=self._controls,
            reruns=self._reruns,
            flips=self._flips,
            ungrouped=tuple(sorted(self._ungrouped)),
            counted=counted,
        )

    def _add_runs(self, drawn: Drawn, parts: tuple[Cut, ...]) -> None:
        sample, asked = drawn.sample, self._asked
        for scored in drawn.runs:
            kind, served, outcome = scored.kind_within(sample), scored.run.served, scored.outcome
            if outcome is None or asked.kind not in (None, kind) or asked.model not in (None, served.model):
                continue
            of = Compared(Stratum.of(sample, kind), (served,))
            for cut in parts:
                self._runs[of, cut].add(sample.task_id, sample.propensity, scored, outcome)
            if kind is Kind.CANARY and outcome.passed is not None:
                self._traffic[_anywhere(sample, of)].add(
                    sample.task_id, sample.prompt_tokens, sample.form, outcome.passed
                )

    def _add_pair(self, drawn: Drawn, parts: tuple[Cut, ...]) -> None:
        sample, pair = drawn.sample, drawn.pair
        if pair is None or not self._wants_pair(drawn):
            return
        first, second = (scored.outcome for scored in pair)
        if first is None or second is None:
            return
        of = Compared(Stratum.of(sample, sample.kind), (pair[0].run.served, pair[1].run.served))
        for cut in parts:
            self._pairs[of, cut].add(sample.task_id, sample.propensity, first, second)

    def _wants_pair(self, drawn: Drawn) -> bool:
        if self._asked.kind is Kind.MIRROR:
            return any(scored.run.role is Role.MIRROR for scored in drawn.runs)
        return self._asked.kind in (None, drawn.sample.kind)

    def _scored_again(self, drawn: Drawn) -> None:
        if drawn.between is None or drawn.open:
            return
        for event in drawn.events(""):
            if isinstance(event, Rerun) and event.flipped is not None:
                self._reruns += 1
                self._flips += event.flipped

    def _on_traffic(self, mix: LiveMix) -> Iterator[tuple[Compared, TrafficWeighted]]:
        for of, totals in sorted(self._traffic.items(), key=lambda item: repr(item[0])):
            yield of, totals.weighted(mix)


def collect(evidence: Evidence, asked: Asked, groups: Groups, mix: LiveMix | None = None) -> Report:
    """Reads all that was asked for. Raises StoreUnavailable."""
    collector = Collector(asked, groups)
    kind = None if asked.kind is Kind.MIRROR else asked.kind  # a mirror's sample is of the kind that it mirrors
    for drawn in evidence.samples(Wanted(since=asked.since, until=asked.until, kind=kind, model=asked.model)):
        collector.add(drawn)
    time = asked.since, asked.until
    counted = Counted(evidence.totals(*time), evidence.matching(*time), evidence.gaps(*time))
    return collector.report(counted, mix)


def _anywhere(sample: Sample, of: Compared) -> Compared:
    """Over all forms, inflated or not: the cells of traffic tell lengths and forms apart."""
    return Compared(Stratum(Kind.CANARY, Kind.CANARY, sample.suite, "all", sample.sampling, inflated=False), of.served)


def _ordered(totals: Mapping[Place, Totals]) -> list[tuple[Place, Totals]]:
    """By stratum and model; the whole first, then by length, then by name."""

    def key(item: tuple[Place, Totals]) -> tuple[str, str, int, str]:
        of, cut = item[0]
        return repr(of), cut.by, cut.order, cut.name

    return sorted(totals.items(), key=key)
