"""The store goes away and comes back: nothing is lost, it is said once, and it is a gap."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.sandbox.job import Job
from gateway.shadow.sandbox.job import Outcome as Ended
from gateway.shadow.store import State, Store, open_store
from gateway.shadow.worker.retrying import Backoff
from tests.fakes.slot import passes
from tests.gateway.shadow.store.evidence import NOON, Time
from tests.gateway.shadow.store.postgres import Server
from tests.gateway.shadow.worker.scenes import Crew, Noted, outcomes, waiting

WHY = "the store was not available: nothing could be claimed or recorded"
AGAIN = "the store is available again; nothing was lost"


class Outage:
    """Begins while "answer 1" is run, and ends some time after it was told.

    That run lasts until then: what was open before may serve for a while, so the others may all be recorded meanwhile.
    """

    def __init__(self, begin: Callable[[], object], end: Callable[[], object], time: Time) -> None:
        self._begin, self._time = begin, time
        self._ending, self._was_told = threading.Thread(target=end), threading.Event()
        self.noted = Noted(on_told=self._told)

    def script(self, job: Job) -> Ended:
        if "answer 1" in job.candidate:
            self._begin()
            assert self._was_told.wait(60)
        return passes(job)

    def _told(self, message: str) -> None:
        if "is not available" in message:
            self._time.now += 30
            self._ending.start()
            self._was_told.set()

    def over(self) -> None:
        self._ending.join()


def check(store: Store, outage: Outage, time: Time) -> None:
    for number in range(4):
        waiting(store, number)
    crew = Crew(store, outage.script, noted=outage.noted, time=time, slots=2, backoff=Backoff(0.01, 0.1))
    crew.run()
    outage.over()
    assert outcomes(store) == [Outcome.PASS] * 4
    assert len(crew.ran) == 4
    (gap,) = store.evidence.gaps()
    assert (gap.source, gap.since, gap.until, gap.why) == ("worker a", NOON, NOON + 30, WHY)
    told, again = crew.noted.messages
    assert again == AGAIN
    assert told.startswith("the store of shadow-eval is not available: ")
    assert told.endswith("Trying again, at most 0.1 s apart, until it is")


def test_postgresql_is_killed_and_started_again(postgres: Server, time: Time) -> None:
    with open_store(postgres.empty_database(), clock=time) as store:
        check(store, Outage(postgres.kill, postgres.start, time), time)


def test_a_sqlite_file_whose_table_is_gone_for_a_while(sqlite_url: str, time: Time) -> None:
    path = sqlite_url.removeprefix("sqlite:///")

    def rename(*names: tuple[str, str]) -> None:
        """All at once: the store is there again when it can take the gap, and what comes after it."""
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        for before, after in names:
            connection.execute(f"ALTER TABLE {before} RENAME TO {after}")
        connection.execute("COMMIT")
        connection.close()

    away = [("runs", "runs_elsewhere"), ("gaps", "gaps_elsewhere")]
    back = [(after, before) for before, after in away]
    with open_store(sqlite_url, clock=time) as store:
        outage = Outage(lambda: rename(*away), lambda: rename(*back), time)
        check(store, outage, time)


def test_stopped_while_the_store_is_down_it_ends_at_once(sqlite_url: str, time: Time) -> None:
    """What could not be given back is others' when its lease ends."""
    path = sqlite_url.removeprefix("sqlite:///")

    def without(table: str) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(f"ALTER TABLE {table} RENAME TO gone")
        connection.close()

    def script(job: Job) -> Ended:
        if "answer 0" in job.candidate:
            without("runs")
        return passes(job)

    def stop(message: str) -> None:
        if "Trying again" in message:
            crew.worker.stop()

    with open_store(sqlite_url, clock=time) as store:
        waiting(store, 0)
        crew = Crew(store, script, time=time, once=False, lease=60.0, noted=Noted(on_told=stop))
        crew.run()
        with sqlite3.connect(path) as connection:
            connection.execute("ALTER TABLE gone RENAME TO runs")
        connection.close()
        assert crew.noted.messages[-1] == "1 could not be given back: others have them in at most 60 s"
        assert store.backlog()[State.LEASED] == 1
        time.now += 60
        Crew(store, time=time).run()
        assert outcomes(store) == [Outcome.PASS]
