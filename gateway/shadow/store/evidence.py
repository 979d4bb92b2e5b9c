"""Reading the store: what the gate, the report and the threshold need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select, tuple_

from gateway.shadow.gate.draws import Event, Kind, Outcome
from gateway.shadow.store.database import Database
from gateway.shadow.store.day import day_of
from gateway.shadow.store.outcome import Drawn, Scored
from gateway.shadow.store.records import Counter, Gap, Score, State, Total
from gateway.shadow.store.rows import run_of, sample_of, score_of, select_runs, select_samples
from gateway.shadow.store.schema import counters, gaps, runs, samples, scores, served
from gateway.shadow.store.tallies import TaskTally, tallies

_PAGE = 500
"""Samples read at once: between pages no transaction is open, however long the reader takes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which samples: those from `since` (included) until `until` (not included) with all of what is given.

    `kind` is the samples'; for mirrors ask `runs`. `model`: one that was asked. `models`: the two that are compared,
    first side first.
    """

    since: float | None = None
    until: float | None = None
    suite: str | None = None
    form: str | None = None
    kind: Kind | None = None
    model: str | None = None
    models: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Matching:
    """How many of the sampled live requests were known tasks."""

    matched: int
    unmatched: int

    @property
    def rate(self) -> float | None:
        """None where nothing was looked at."""
        looked_at = self.matched + self.unmatched
        return self.matched / looked_at if looked_at else None


class Evidence:
    """Every method raises StoreUnavailable. Iterators read page by page, and may raise it between two."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def samples(self, wanted: Wanted = Wanted(), *, answers: bool = False) -> Iterator[Drawn]:
        """With their runs and scores, in the order in which they were drawn; answers if asked, and kept."""
        after: tuple[float, str] | None = None
        while True:
            with self._database.reading() as connection:
                page = _page(connection, wanted, after, answers=answers)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].sample.at, page[-1].sample.id

    def runs(self, wanted: Wanted = Wanted()) -> Iterator[tuple[Drawn, Scored, Kind]]:
        """Runs that are done, and which kind of evidence each is: a mirror's is `mirror`, whatever its sample's.

        Controls are no evidence, and left out.
        """
        kind = wanted.kind
        for drawn in self.samples(_without_kind(wanted) if kind is Kind.MIRROR else wanted):
            for scored in drawn.runs if drawn.sample.control is None else ():
                of_kind = scored.kind_within(drawn.sample)
                of_model = wanted.model in (None, scored.run.served.model)
                if scored.outcome is not None and kind in (None, of_kind) and of_model:
                    yield drawn, scored, of_kind

    def pairs(self, wanted: Wanted = Wanted()) -> Iterator[tuple[Drawn, Outcome, Outcome]]:
        """Samples that both families were asked, and are done with."""
        for drawn in self.samples(wanted):
            pair = drawn.pair
            if pair and pair[0].outcome is not None and pair[1].outcome is not None:
                yield drawn, pair[0].outcome, pair[1].outcome

    def events(self, wanted: Wanted) -> Iterator[Event]:
        """For the gate: pairs (of their sample's kind), controls and re-runs, in the order in which samples were drawn.

        Not in the order in which verdicts came: what fails takes longer, and a gate that looks early would see too few
        failures. So it ends before the first sample that is still open, and `Store.settle` gives up those that stay so.
        A gate wants one suite, form and pair of models: others would start a new stream at every event.
        """
        environment = self._first_environment(wanted)
        for drawn in self.samples(wanted):
            if drawn.between is not None and drawn.open:
                return
            environment = drawn.environment or environment
            yield from drawn.events(environment)

    def tallies(self) -> list[TaskTally]:
        """Passes by task, of all runs with a verdict but controls'; read at once."""
        with self._database.reading() as connection:
            return tallies(connection)

    def settled(self) -> tuple[int, int]:
        """How many verdicts there are, and runs that are done: the same as long as nothing new is to be concluded."""
        done = [state for state in State if not state.open]
        with self._database.reading() as connection:
            verdicts = connection.scalar(select(func.count()).select_from(scores))
            return verdicts or 0, connection.scalar(select(func.count()).where(runs.c.state.in_(done))) or 0

    def totals(self, since: float | None = None, until: float | None = None) -> tuple[Total, ...]:
        """Counters summed over their sources, of each day that has a part of that time."""
        keys = (counters.c.day, counters.c.counter, counters.c.model, counters.c.reason)
        summed = select(*keys, func.sum(counters.c.value).label("value")).group_by(*keys).order_by(*keys)
        if since is not None:
            summed = summed.where(counters.c.day >= day_of(since))
        if until is not None:
            summed = summed.where(counters.c.day <= day_of(until))
        with self._database.reading() as connection:
            rows = connection.execute(summed).all()
        return tuple(
            Total(row.day, Counter(row.counter), int(row.value), model=row.model, reason=row.reason) for row in rows
        )

    def matching(self, since: float | None = None, until: float | None = None) -> Matching:
        totals = self.totals(since, until)
        matched = sum(total.value for total in totals if total.counter is Counter.MATCHED)
        return Matching(matched, sum(total.value for total in totals if total.counter is Counter.UNMATCHED))

    def spent(self, day: str, model: str) -> int:
        """Tokens on a day (2026-11-29): what a daily budget is compared with."""
        asked = (counters.c.day == day, counters.c.model == model, counters.c.counter == Counter.TOKENS)
        with self._database.reading() as connection:
            return int(connection.scalar(select(func.sum(counters.c.value)).where(*asked)) or 0)

    def next_number(self, prefix: str) -> int:
        """One more than the highest number of samples whose `request_id` is the prefix and 12 digits; 0 without any."""
        numbered = select(func.max(samples.c.request_id)).where(
            samples.c.request_id.startswith(prefix, autoescape=True)
        )
        with self._database.reading() as connection:
            highest = connection.scalar(numbered)
        return 0 if highest is None else int(highest.removeprefix(prefix)) + 1

    def gaps(self, since: float | None = None, until: float | None = None) -> tuple[Gap, ...]:
        """Those that have a part of that time."""
        found = select(gaps).order_by(gaps.c.since, gaps.c.source)
        if since is not None:
            found = found.where(or_(gaps.c.until.is_(None), gaps.c.until > since))
        if until is not None:
            found = found.where(gaps.c.since < until)
        with self._database.reading() as connection:
            return tuple(Gap(row.source, row.since, row.why, row.until) for row in connection.execute(found))

    def _first_environment(self, wanted: Wanted) -> str:
        """What scored the first sample that was scored: for those before it."""
        found = select(scores.c.environment).join(runs, runs.c.id == scores.c.run_id)
        found = found.join(samples, samples.c.id == runs.c.sample_id).where(*_conditions(wanted), scores.c.number == 0)
        with self._database.reading() as connection:
            return connection.scalar(found.order_by(samples.c.at, samples.c.id).limit(1)) or ""


def _page(connection: Connection, wanted: Wanted, after: tuple[float, str] | None, *, answers: bool) -> list[Drawn]:
    chosen: Select[Any] = select_samples().where(*_conditions(wanted)).order_by(samples.c.at, samples.c.id).limit(_PAGE)
    if after is not None:
        chosen = chosen.where(tuple_(samples.c.at, samples.c.id) > after)
    found = [sample_of(row) for row in connection.execute(chosen)]
    its_runs = _runs(connection, [sample.id for sample in found], answers=answers)
    return [Drawn(sample, tuple(its_runs[sample.id])) for sample in found]


def _runs(connection: Connection, ids: Sequence[str], *, answers: bool) -> dict[str, list[Scored]]:
    its_scores = defaultdict[str, list[Score]](list)
    mine = select(scores).join(runs, runs.c.id == scores.c.run_id).where(runs.c.sample_id.in_(ids))
    for row in connection.execute(mine.order_by(scores.c.number)):
        its_scores[row.run_id].append(score_of(row))
    its_runs = defaultdict[str, list[Scored]](list)
    for row in connection.execute(select_runs(answers=answers).where(runs.c.sample_id.in_(ids)).order_by(runs.c.id)):
        its_runs[row.sample_id].append(Scored(run_of(row), tuple(its_scores[row.id])))
    return its_runs


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.since is not None:
        yield samples.c.at >= wanted.since
    if wanted.until is not None:
        yield samples.c.at < wanted.until
    for column, value in (
        (samples.c.suite, wanted.suite),
        (samples.c.form, wanted.form),
        (samples.c.kind, wanted.kind),
    ):
        if value is not None:
            yield column == value
    if wanted.model is not None:
        yield samples.c.id.in_(_asked(wanted.model))
    if wanted.models is not None:
        yield or_(_control_of(*wanted.models), and_(*_both_asked(*wanted.models)))


def _asked(model: str, side: str | None = None) -> Select[Any]:
    asked = select(runs.c.sample_id).join(served, served.c.id == runs.c.served_id).where(served.c.model == model)
    return asked if side is None else asked.where(runs.c.side == side)


def _both_asked(first: str, second: str) -> Iterator[ColumnElement[bool]]:
    yield samples.c.control.is_(None)
    yield samples.c.id.in_(_asked(first, "first"))
    yield samples.c.id.in_(_asked(second, "second"))


def _control_of(first: str, second: str) -> ColumnElement[bool]:
    ids = (select(served.c.id).where(served.c.model == model) for model in (first, second))
    firsts, seconds = ids
    return and_(samples.c.first_id.in_(firsts), samples.c.second_id.in_(seconds))


def _without_kind(wanted: Wanted) -> Wanted:
    return Wanted(wanted.since, wanted.until, wanted.suite, wanted.form, None, wanted.model, wanted.models)
