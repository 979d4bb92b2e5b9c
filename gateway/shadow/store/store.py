"""The store: what writes to it, and who scores what."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Self

from sqlalchemy import Connection, and_, case, func, select, update

from gateway.config_shadow import Retention
from gateway.shadow.gate.draws import Served
from gateway.shadow.store import leases, retention
from gateway.shadow.store.database import Database
from gateway.shadow.store.evidence import Evidence
from gateway.shadow.store.migrate import upgrade
from gateway.shadow.store.records import OPEN, Claim, Gap, Purged, Run, Sample, Score, State, Total
from gateway.shadow.store.retention import DAY, LONGEST_ANSWER
from gateway.shadow.store.rows import run_row, sample_row, served_row
from gateway.shadow.store.schema import counters, gaps, runs, samples, scores, served


def open_store(url: str, *, keep: Retention | None = None, clock: Callable[[], float] | None = None) -> Store:
    """The store at sqlite:///FILE or postgresql://USER@HOST/DATABASE; its tables are made or upgraded.

    Raises StoreUnavailable. Others may open the same at the same time. `clock`: seconds since 1970.
    """
    database = Database(url)
    try:
        upgrade(database)
    except BaseException:
        database.close()
        raise
    return Store(database, keep or Retention(), clock or _now)


class Store:
    """Evidence, in a database. For the scorer and commands: it blocks, so it is not for the gateway's event loop.

    Every write may be repeated, and then changes nothing: what is delivered twice is stored once. Every method raises
    StoreUnavailable; what it was to write is then all written (the server may have died just after) or not at all, and
    is to be written again. Threads may share it.
    """

    def __init__(self, database: Database, keep: Retention, clock: Callable[[], float]) -> None:
        self._database = database
        self._keep = keep
        self._clock = clock
        self.evidence = Evidence(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def add(self, sample: Sample, *its_runs: Run) -> None:
        """A sample, and those of its runs that are known of. One that was only asked becomes what it is now."""
        if any(run.sample_id != sample.id for run in its_runs):
            raise ValueError("a run of another sample")
        insert = self._database.insert
        # Sorted, so that two who add the same don't wait for each other.
        all_served = {served_row(each)["id"]: served_row(each) for each in _served(sample, its_runs)}
        with self._database.writing() as connection:
            for key in sorted(all_served):
                connection.execute(insert(served).values(all_served[key]).on_conflict_do_nothing())
            row = sample_row(sample, with_prompt=self._keep.prompts)
            connection.execute(insert(samples).values(row).on_conflict_do_nothing())
            for run in sorted(its_runs, key=lambda each: each.id):
                self._add_run(connection, run, sample.at)

    def _add_run(self, connection: Connection, run: Run, at: float) -> None:
        adding = self._database.insert(runs).values(run_row(run, at) | {"attempts": 0})
        if run.state is State.ASKED:
            connection.execute(adding.on_conflict_do_nothing())
            return
        changed = {name: adding.excluded[name] for name in run_row(run, at) if name not in ("id", "sample_id", "at")}
        connection.execute(
            adding.on_conflict_do_update(index_elements=[runs.c.id], set_=changed, where=runs.c.state == State.ASKED)
        )

    def claim(
        self,
        worker: str,
        *,
        seconds: float,
        limit: int = 1,
        suites: Collection[str] | None = None,
        ids: Collection[str] | None = None,
    ) -> list[Claim]:
        """The oldest runs that nobody is scoring (of these suites, these ids), for a worker with a name of its own.

        After so many seconds without `renew` they are others' to claim. A run that lost its worker five times is an
        error.
        """
        with self._database.writing() as connection:
            now = self._clock()
            return leases.claim(connection, worker, now=now, seconds=seconds, limit=limit, suites=suites, ids=ids)

    def unclaimed(self, suites: Collection[str], *, older: float, limit: int) -> list[tuple[str, str]]:
        """What a queue beside should have: the oldest runs that wait, of samples older than so many seconds.

        Also those whose worker was lost. With their samples' suites; the same as often as asked, until claimed.
        """
        with self._database.reading() as connection:
            now = self._clock()
            return leases.unclaimed(connection, now=now, before=now - older, limit=limit, suites=suites)

    def renew(self, claim: Claim, *, seconds: float) -> bool:
        """Whether it was still the worker's. If not, someone else may score it too; a score is welcome all the same."""
        with self._database.writing() as connection:
            return leases.renew(connection, claim, now=self._clock(), seconds=seconds)

    def give_back(self, claim: Claim) -> bool:
        """For others to claim at once."""
        with self._database.writing() as connection:
            return leases.give_back(connection, claim)

    def record(self, *all_scores: Score) -> int:
        """Verdicts, together; how many of them were new. Those of runs that were purged are none.

        Number 0 makes its run scored, and then the answer is dropped (unless `Retention.answers`): whoever scores an
        answer again to see whether verdicts flip records both at once. What `settle` gave up stays so.
        """
        with self._database.writing() as connection:
            ordered = sorted(all_scores, key=lambda score: (score.run_id, score.number))
            return sum(self._record(connection, score) for score in ordered)

    def _record(self, connection: Connection, score: Score) -> int:
        locked = select(runs.c.id).where(runs.c.id == score.run_id).with_for_update()
        if connection.scalar(locked) is None:
            return 0
        row = {column.name: getattr(score, column.name) for column in scores.c}
        adding = self._database.insert(scores).values(row).on_conflict_do_nothing().returning(scores.c.number)
        new = len(connection.execute(adding).all())
        if score.number == 0:
            changed = {"state": State.SCORED, "worker": None, "expires": None}
            if not self._keep.answers:
                changed["answer"] = None
            mine = and_(runs.c.id == score.run_id, runs.c.state.in_(OPEN))
            connection.execute(update(runs).where(mine).values(changed))
        return new

    def settle(self, before: float, states: Collection[State] = OPEN) -> int:
        """Gives up runs that are still open (in these states) of samples from before a time: errors. How many.

        `Evidence.events` does not go past an open run, so one whose answer will never come has to be given up. `expire`
        does this too, later.
        """
        late = and_(runs.c.state.in_(set(states) & set(OPEN)), runs.c.at < before)
        with self._database.writing() as connection:
            given_up = update(runs).where(late).values(state=State.ERROR, answer=None, worker=None, expires=None)
            return connection.execute(given_up).rowcount

    def count(self, source: str, totals: Iterable[Total]) -> None:
        """What this process (`source`: a name that no other has, also none before a restart) has counted so far.

        Totals, not increments: the greatest counts, so that one which comes twice, or late, changes nothing.
        """
        with self._database.writing() as connection:
            for total in sorted(totals, key=lambda each: (each.day, each.counter, each.model, each.reason)):
                values = {column.name: getattr(total, column.name) for column in counters.c if column.name != "source"}
                adding = self._database.insert(counters).values(values | {"source": source})
                greater = adding.excluded.value > counters.c.value
                greatest = case((greater, adding.excluded.value), else_=counters.c.value)
                keys = list(counters.primary_key.columns)
                connection.execute(adding.on_conflict_do_update(index_elements=keys, set_={"value": greatest}))

    def gap(self, gap: Gap) -> None:
        """Evidence is missing since then. The same again with `until` ends it."""
        row = {"source": gap.source, "since": gap.since, "why": gap.why, "until": gap.until}
        adding = self._database.insert(gaps).values(row)
        until = func.coalesce(gaps.c.until, adding.excluded.until)
        keys = [gaps.c.source, gaps.c.since]
        with self._database.writing() as connection:
            connection.execute(adding.on_conflict_do_update(index_elements=keys, set_={"until": until}))

    def purge(self, *, before: float | None = None, key: str | None = None, everything: bool = False) -> Purged:
        """Deletes for good the samples from before a time, of a client's key, or both; or everything.

        Its counters and gaps go by time, or with everything. What others add meanwhile stays. Copies and backups of the
        database are not reached.
        """
        if everything is not (before is None and key is None):
            raise ValueError("say what to purge: before, key, or everything")
        with self._database.writing() as connection:
            if everything:
                purged = retention.purge_everything(connection)
            else:
                purged = retention.purge(connection, before=before, key=key)
        retention.overwrite(self._database)
        return purged

    def expire(self) -> Purged:
        """Deletes what is older than `Retention` says, and gives up what stayed open; to be called now and then."""
        now = self._clock()
        self.settle(now - LONGEST_ANSWER, [State.ASKED])
        self.settle(now - self._keep.unscored * DAY)
        with self._database.writing() as connection:
            purged = retention.purge(connection, before=now - self._keep.samples * DAY, key=None)
            retention.drop_answers(connection, now - self._keep.answers * DAY)
        retention.empty_log(self._database)
        return purged

    def backlog(self) -> Mapping[State, int]:
        """How many runs there are in each open state."""
        open_runs = select(runs.c.state, func.count()).where(runs.c.state.in_(OPEN)).group_by(runs.c.state)
        with self._database.reading() as connection:
            return dict.fromkeys(OPEN, 0) | {State(state): count for state, count in connection.execute(open_runs)}


def _served(sample: Sample, its_runs: Iterable[Run]) -> Iterable[Served]:
    yield from sample.between or ()
    yield from (run.served for run in its_runs)


def _now() -> float:
    return datetime.now(UTC).timestamp()
