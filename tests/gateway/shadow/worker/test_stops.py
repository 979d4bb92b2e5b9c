"""Workers end, are killed, or work side by side: each run is scored once, and none is lost."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from functools import partial

import pytest

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.sandbox.job import Job
from gateway.shadow.sandbox.job import Outcome as Ended
from gateway.shadow.score.verdict import Says, Verdict
from gateway.shadow.store import Claim, State, Store, open_store
from gateway.shadow.worker.threads import SlotThreads
from tests.fakes.slot import ScriptedSlot, ends, passes
from tests.gateway.shadow.store.conftest import Open
from tests.gateway.shadow.store.evidence import Time
from tests.gateway.shadow.worker.scenes import Crew, by_mark, outcomes, waiting

HELD = """
import sys
from gateway.shadow.store import open_store
from tests.fakes.slot import passes
from tests.gateway.shadow.worker.scenes import Crew

def script(job):
    if "answer 1" in job.candidate:
        print("in the middle", flush=True)
        sys.stdin.read()
    return passes(job)

with open_store(sys.argv[1], clock=lambda: float(sys.argv[2])) as store:
    Crew(store, script, name="killed", lease=60.0).run()
"""


class Interruptible(ScriptedSlot):
    """Runs "answer 1" until it is interrupted, as a slot does: then the run is lost."""

    started = threading.Event()

    def run(self, job: Job) -> Ended:
        if "answer 1" in job.candidate:
            self.started.set()
            self.interrupted.wait()
            return ends("lost")
        return super().run(job)


def test_a_killed_worker_loses_nothing(store: Store, url: str, time: Time) -> None:
    for number in range(4):
        waiting(store, number)
    arguments = [sys.executable, "-c", HELD, url, str(time.now)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout
        assert killed.stdout.readline().strip() == "in the middle"
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    assert outcomes(store) == [Outcome.PASS, None, None, None]
    other = Crew(store, time=time, name="b").run()
    assert outcomes(store) == [Outcome.PASS, None, Outcome.PASS, Outcome.PASS], "the lease lasts"
    time.now += 60
    again = Crew(store, time=time, name="c").run()
    assert outcomes(store) == [Outcome.PASS] * 4
    assert (len(other.ran), len(again.ran)) == (2, 1)
    assert [len(scored.scores) for drawn in store.evidence.samples() for scored in drawn.runs] == [1] * 4


def test_stopped_it_gives_back_what_is_not_done(store: Store) -> None:
    waiting(store, 0)
    waiting(store, 1)
    waiting(store, 2)
    Interruptible.started.clear()

    def stop() -> None:
        Interruptible.started.wait()
        crew.worker.stop()

    crew = Crew(store, slot=Interruptible, once=False)
    stopping = threading.Thread(target=stop)
    stopping.start()
    crew.run()
    stopping.join()
    assert outcomes(store) == [Outcome.PASS, None, None]
    assert store.backlog() == {State.ASKED: 0, State.WAITING: 2, State.LEASED: 0}
    assert [claim.attempt for claim in store.claim("b", seconds=9, limit=9)] == [1, 1]


def test_what_is_done_when_it_is_stopped_is_not_overlooked(store: Store) -> None:
    for number in range(3):
        waiting(store, number)
    claims = store.claim("a", seconds=9, limit=3)
    verdict = Verdict("five/1", Says.PASS, "bubblewrap/separate", 0.1, "", "digest")
    found = list[Claim | None]()
    with SlotThreads(lambda: ScriptedSlot(passes), lambda claim, slot: (verdict,), slots=3) as threads:
        while threads.free < 3:
            assert threads.take(9) is None
        for claim in claims:
            threads.give(claim)
            threads.wake()
        while len(found) < 3:
            found += [finished.claim for finished in threads.take_all()]
    assert sorted(claim.run.id for claim in found if claim) == sorted(claim.run.id for claim in claims)


def test_two_at_once_score_each_run_once(opened: Open) -> None:
    stores = opened(), opened()
    for number in range(24):
        waiting(stores[0], number)
    together = threading.Barrier(2, timeout=60)
    met = threading.local()

    def script(job: Job) -> Ended:
        if "answer" in job.candidate and not hasattr(met, "yes"):
            met.yes = True
            together.wait()  # so that both have some
        return by_mark(job)

    crews = [Crew(store, script, name=name) for store, name in zip(stores, "ab", strict=True)]
    threads = [threading.Thread(target=partial(crew.run)) for crew in crews]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ran = Counter(program for crew in crews for program in crew.ran)
    assert set(ran.values()) == {1}
    assert len(ran) == 24
    assert all(crew.ran for crew in crews)
    assert outcomes(stores[0]) == [Outcome.PASS] * 24


def test_leases_are_renewed_while_it_scores(sqlite_url: str) -> None:
    time = Time()
    database = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), check_same_thread=False)
    expiries = list[float]()

    def expiry() -> float:
        return float(database.execute("SELECT expires FROM runs").fetchone()[0])

    def script(job: Job) -> Ended:
        while "answer 0" in job.candidate and len(expiries) < 4:
            expiries.append(expiry())
            time.now += 0.2
            while expiry() == expiries[-1]:
                threading.Event().wait(0.005)
            with open_store(sqlite_url, clock=time) as other:
                assert not other.claim("b", seconds=9)
        return passes(job)

    with open_store(sqlite_url, clock=time) as store:
        waiting(store, 0)
        Crew(store, script, time=time, lease=0.3).run()
        assert outcomes(store) == [Outcome.PASS]
    database.close()
    assert expiries == pytest.approx([expiries[0] + 0.2 * n for n in range(4)], abs=0.001)  # of seconds since 1970


def test_what_is_stored_too_long_is_deleted_meanwhile(opened: Open, time: Time) -> None:
    store = opened()
    waiting(store, 0)
    time.now += 31 * 86_400
    Crew(store, time=time).run()
    assert outcomes(store) == []
