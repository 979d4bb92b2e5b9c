"""Workers with a queue: a real Redis or PostgreSQL says what waits, and the store stays the truth."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import threading
import time as clock
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.sandbox.job import Job
from gateway.shadow.sandbox.job import Outcome as Ended
from gateway.shadow.store import Run, State, Store, open_store
from gateway.shadow.worker import suite_key
from gateway.shadow.worker.queue import RunQueue, Times
from gateway.shadow.worker.queue_server import QueueServer
from gateway.shadow.worker.retrying import Backoff
from tests.fakes.slot import Script, fails, passes
from tests.gateway.shadow.store.evidence import Time
from tests.gateway.shadow.store.postgres import Server
from tests.gateway.shadow.worker.conftest import Served
from tests.gateway.shadow.worker.scenes import FIVE, Crew, Noted, by_mark, control, outcomes, waiting
from tests.gateway.shadow.worker.test_stops import Interruptible

QUICK = Times(wait=0.5, heartbeat=1, sweep=1, backoff=Backoff(0.01, 0.1))
SUITE = suite_key(FIVE)
KILLED = """
import sys
from gateway.shadow.store import open_store
from gateway.shadow.worker.queue import RunQueue
from gateway.shadow.worker.queue_server import QueueServer
from tests.fakes.slot import passes
from tests.gateway.shadow.worker.scenes import Crew
from tests.gateway.shadow.worker.test_queue import QUICK, until

def script(job):
    if "answer 0" in job.candidate:
        print("in the middle", flush=True)
        sys.stdin.read()
    return passes(job)

store = open_store(sys.argv[1], clock=lambda: float(sys.argv[3]))
with store, RunQueue(QueueServer(sys.argv[2]), print, times=QUICK) as queue:
    until(lambda: queue.up)
    Crew(store, script, queue=queue, once=False, name="killed", lease=60.0).run()
"""


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


def until(condition: Callable[[], object]) -> None:
    deadline = clock.monotonic() + 100
    while not condition():
        assert clock.monotonic() < deadline
        threading.Event().wait(0.01)


@contextlib.contextmanager
def queue_at(server: Served, noted: Noted | None = None, times: Times = QUICK) -> Iterator[RunQueue]:
    """That is up."""
    with RunQueue(QueueServer(server.url), (noted or Noted()).told, times=times) as queue:
        until(lambda: queue.up)
        yield queue


@contextlib.contextmanager
def working(store: Store, queue: RunQueue, script: Script = by_mark, **given: Any) -> Iterator[Crew]:
    """A worker in a thread, which ends with the scope. It would poll all the time, and look often for what to offer.

    As the clock of the store stands still, it offers nothing that waits until the test sets it.
    """
    usual: dict[str, Any] = {"once": False, "poll": 0.05, "offer_every": 0.05, "backoff": QUICK.backoff}
    crew = Crew(store, script, queue=queue, **usual | given)
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(crew.run)
        try:
            yield crew
        finally:
            crew.worker.stop()
        done.result(60)


def offer(queue: RunQueue, *runs: Run) -> None:
    queue.offer([(SUITE, run.id) for run in runs])


def all_scored(store: Store) -> bool:
    return not any(store.backlog().values())


def test_what_is_queued_is_scored_at_once_and_nothing_else(queue_server: Served, store: Store, time: Time) -> None:
    """Nor is it found by polling: what was lost between the store and the queue is there a while later."""
    with queue_at(queue_server) as queue, working(store, queue, time=time) as crew:
        lost, queued = waiting(store, 0), waiting(store, 1)
        offer(queue, queued)
        until(lambda: store.backlog()[State.WAITING] == 1)
        until(lambda: outcomes(store) == [None, Outcome.PASS])
        waiting(store, 2)
        offer(queue, waiting(store, 3))
        until(lambda: outcomes(store) == [None, Outcome.PASS, None, Outcome.PASS])
        time.now += 12
        until(lambda: outcomes(store) == [Outcome.PASS, Outcome.PASS, None, Outcome.PASS])
        time.now += 12
        until(lambda: all_scored(store))
    assert [run for run, _, _ in crew.noted.verdicts][2] == lost.id
    assert len(crew.ran) == 4


def test_what_is_queued_twice_is_scored_once(queue_server: Served, store: Store) -> None:
    """Also if it comes again when it is scored already, or is just being scored."""
    run, again = waiting(store, 0), threading.Event()

    def script(job: Job) -> Ended:
        if "answer 0" in job.candidate:
            offer(two, run)
            again.wait(60)
        return passes(job)

    with queue_at(queue_server) as one, queue_at(queue_server) as two:
        for queue in (one, two, one):
            offer(queue, run, run)
        with working(store, one, script, name="a") as a, working(store, two, script, name="b") as b:
            until(lambda: a.ran or b.ran)
            marked = waiting(store, 1)
            offer(one, run, marked)
            until(lambda: outcomes(store)[1] is not None)
            again.set()
            until(lambda: all_scored(store))
            offer(two, run, run)
            offer(one, waiting(store, 2))
            until(lambda: all_scored(store))
    assert Counter(run_id for crew in (a, b) for run_id, _, _ in crew.noted.verdicts)[run.id] == 1
    assert len([*a.ran, *b.ran]) == 3


def test_two_workers_share(queue_server: Served, store: Store) -> None:
    runs = [waiting(store, number) for number in range(24)]
    together = threading.Barrier(2, timeout=60)
    met = threading.local()

    def script(job: Job) -> Ended:
        if "answer" in job.candidate and not hasattr(met, "yes"):
            met.yes = True
            together.wait()
        return by_mark(job)

    with (
        queue_at(queue_server) as one,
        queue_at(queue_server) as two,
        working(store, one, script, name="a") as a,
        working(store, two, script, name="b") as b,
    ):
        offer(one, *runs)
        until(lambda: all_scored(store))
    assert a.ran
    assert b.ran
    assert set(Counter([*a.ran, *b.ran]).values()) == {1}
    assert outcomes(store) == [Outcome.PASS] * 24


def test_a_worker_that_is_killed_while_it_scores(queue_server: Served, store: Store, url: str, time: Time) -> None:
    run = waiting(store, 0)
    arguments = [sys.executable, "-c", KILLED, url, queue_server.url, str(time.now)]
    with (
        queue_at(queue_server) as queue,
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed,
    ):
        offer(queue, run)
        assert killed.stdout
        assert killed.stdout.readline().strip() == "in the middle"
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with working(store, queue, name="b", time=time) as other:
            offer(queue, waiting(store, 1))
            until(lambda: outcomes(store) == [None, Outcome.PASS])  # the lease lasts
            time.now += 60
            until(lambda: all_scored(store))
    assert outcomes(store) == [Outcome.PASS, Outcome.PASS]
    assert len(other.ran) == 2


def test_what_takes_long_stays_its_workers(queue_server: Served) -> None:
    """Its job is touched all the time; else SAQ would give it to another after the time of a heartbeat."""
    # SAQ's sweep on Redis may also take a job for stuck that is given out at that moment: so let there be time before.
    times = replace(QUICK, heartbeat=4, sweep=3)
    with queue_at(queue_server, times=times) as one, queue_at(queue_server, times=times) as two:
        one.listen([SUITE], lambda: None)
        one.offer([(SUITE, "long")])
        until(lambda: one.take(1) == ["long"])
        two.listen([SUITE], lambda: None)
        touched = set[bytes]()
        while len(touched) < 6:
            assert not two.take(1)
            touched |= set(re.findall(rb'"touched": (\d+)', queue_server.content()))
            threading.Event().wait(0.05)
        one.done("long")
        until(lambda: b"long" not in queue_server.content())


def test_stopped_it_gives_back_what_is_not_done(queue_server: Served, store: Store) -> None:
    """To the store and to the queue: nobody else would give it to another, in this test."""
    patient = replace(QUICK, heartbeat=600)
    Interruptible.started.clear()
    with queue_at(queue_server) as two:
        with queue_at(queue_server, times=patient) as one, working(store, one, slot=Interruptible, name="a"):
            offer(one, waiting(store, 1))
            Interruptible.started.wait(60)
        assert store.backlog()[State.WAITING] == 1
        with working(store, two, name="b"):
            until(lambda: all_scored(store))
    assert outcomes(store) == [Outcome.PASS]


def test_the_queue_is_killed_and_comes_back_empty(queue_server: Served, store: Store, time: Time) -> None:
    """While it is away the store is polled; what was lost with it is found when it is back."""
    noted = Noted()
    gone, came_back = threading.Event(), threading.Event()

    def script(job: Job) -> Ended:
        if "answer 0" in job.candidate:
            queue_server.kill()
            until(lambda: not queue.up)
            gone.set()
        if "answer 2" in job.candidate:
            came_back.wait(60)
        return passes(job)

    with queue_at(queue_server, noted) as queue, working(store, queue, script, time=time):
        offer(queue, *[waiting(store, number) for number in range(2)])
        gone.wait(60)
        until(lambda: outcomes(store) == [Outcome.PASS] * 2)
        waiting(store, 2)
        until(lambda: store.backlog()[State.LEASED] == 1)  # though nobody could put it into the queue
        queue_server.start()
        until(lambda: queue.up)
        waiting(store, 3)
        time.now += 60
        came_back.set()
        until(lambda: all_scored(store))
        offer(queue, waiting(store, 4))
        until(lambda: all_scored(store))
    away, back = noted.messages
    assert away.startswith("the queue of shadow-eval is not available: ")
    assert back == "the queue of shadow-eval is available again"
    assert outcomes(store) == [Outcome.PASS] * 5
    assert not store.evidence.gaps()  # nothing was missing


def test_what_the_queue_forgets_is_found_in_the_store(queue_server: Served, store: Store, time: Time) -> None:
    first_runs = threading.Event()

    def script(job: Job) -> Ended:
        if "answer 0" in job.candidate:
            queue_server.empty()
            first_runs.set()
        return passes(job)

    with queue_at(queue_server) as queue, working(store, queue, script, time=time) as crew:
        offer(queue, *[waiting(store, number) for number in range(5)])
        first_runs.wait(60)
        time.now += 60
        until(lambda: all_scored(store))
    assert len(crew.ran) == 5
    assert not crew.noted.messages


def test_the_store_is_killed(queue_server: Served, postgres: Server, time: Time) -> None:
    killed = threading.Event()

    def script(job: Job) -> Ended:
        if "answer 1" in job.candidate and not killed.is_set():
            postgres.kill()
            killed.set()
        return passes(job)

    def again(message: str) -> None:
        if "Trying again" in message:
            threading.Thread(target=postgres.start).start()

    with open_store(postgres.empty_database(), clock=time) as store, queue_at(queue_server) as queue:
        runs = [waiting(store, number) for number in range(4)]
        with working(store, queue, script, time=time, noted=Noted(on_told=again)) as crew:
            offer(queue, *runs)
            killed.wait(60)
            until(lambda: len(crew.noted.verdicts) == 4)
        assert outcomes(store) == [Outcome.PASS] * 4
        assert len(crew.ran) == 4
        (gap,) = store.evidence.gaps()
        assert gap.until is not None


def test_without_a_queue_at_the_start_the_store_is_polled(queue_server: Served, store: Store, time: Time) -> None:
    noted = Noted()
    queue_server.kill()
    with (
        RunQueue(QueueServer(queue_server.url), noted.told, times=QUICK) as queue,
        working(store, queue, time=time) as crew,
    ):
        waiting(store, 0)
        until(lambda: all_scored(store))
        until(lambda: noted.messages)
        (told,) = noted.messages
        assert "is not available" in told
        assert told.endswith("Until it is, the store is looked through")
        queue_server.start()
        until(lambda: queue.up)
        offer(queue, waiting(store, 1))
        until(lambda: all_scored(store))
    assert noted.messages[1:] == ["the queue of shadow-eval is available again"]
    assert len(crew.ran) == 2


@pytest.mark.timeout(240)
def test_a_server_that_does_not_answer_is_away(queue_server: Served, store: Store, time: Time) -> None:
    noted = Noted()
    with (
        queue_at(queue_server, noted, replace(QUICK, patience=1.0)) as queue,
        working(store, queue, time=time) as crew,
    ):
        offer(queue, waiting(store, 0))
        until(lambda: all_scored(store))
        queue_server.signal(signal.SIGSTOP)
        try:
            waiting(store, 1)
            until(lambda: all_scored(store))
        finally:
            queue_server.signal(signal.SIGCONT)
        until(lambda: queue.up)
        offer(queue, waiting(store, 2))
        until(lambda: all_scored(store))
    away, back = noted.messages
    assert "is not available" in away
    assert back == "the queue of shadow-eval is available again"
    assert len(crew.ran) == 3


def test_it_is_noticed_also_while_nobody_asks_for_runs(queue_server: Served) -> None:
    """As it is when who looks anew for jobs keeps those from looking who do ask."""
    noted = Noted()
    with queue_at(queue_server, noted, replace(QUICK, patience=1.0)) as queue:
        queue.listen([SUITE], lambda: None)
        queue_server.signal(signal.SIGSTOP)
        try:
            until(lambda: not queue.up)
        finally:
            queue_server.signal(signal.SIGCONT)
        until(lambda: queue.up)
    assert "TimeoutError" in noted.messages[0]


def test_the_store_and_the_queue_may_be_one_database(postgres: Server, time: Time) -> None:
    address = postgres.empty_database()
    with RunQueue(QueueServer(address), print, times=QUICK) as queue:
        until(lambda: queue.up)
        with open_store(address, clock=time) as store, working(store, queue, time=time) as crew:
            for number in range(3):
                offer(queue, waiting(store, number))
            until(lambda: all_scored(store))
            with open_store(address, clock=time) as again:
                assert again.purge(everything=True).runs == 3
            offer(queue, waiting(store, 3))
            until(lambda: len(crew.ran) == 4)
            until(lambda: all_scored(store))
            assert outcomes(store) == [Outcome.PASS]


def test_other_suites_are_left_for_others(queue_server: Served, store: Store) -> None:
    with queue_at(queue_server) as queue, working(store, queue):
        queue.offer([("BigCodeBench:1", waiting(store, 0, suite="BigCodeBench:1").id)])
        offer(queue, waiting(store, 1))
        until(lambda: outcomes(store) == [None, Outcome.PASS])
        queue.listen(["BigCodeBench:1"], lambda: None)
    with queue_at(queue_server) as other:
        other.listen(["BigCodeBench:1"], lambda: None)
        found = list[str]()
        until(lambda: found.extend(other.take(9)) or found)
    assert len(found) == 1


def test_while_one_is_paused_others_score(queue_server: Served, store: Store) -> None:
    broken = control(store, 0, canonical=True)
    with queue_at(queue_server) as one, queue_at(queue_server) as two, working(store, one, fails, name="a") as a:
        offer(one, broken)
        until(lambda: a.noted.messages)
        offer(one, waiting(store, 1))
        with working(store, two, name="b") as b:
            until(lambda: all_scored(store))
    assert len(b.noted.verdicts) == 1


def test_nothing_but_ids_is_queued(queue_server: Served, store: Store) -> None:
    run = waiting(store, 0, "SECRET-WORD")
    with queue_at(queue_server) as queue:
        offer(queue, run)
        until(lambda: run.id.encode() in queue_server.content())
        assert b"SECRET" not in queue_server.content()
        with working(store, queue):
            until(lambda: all_scored(store))
    assert run.id.encode() not in queue_server.content()
