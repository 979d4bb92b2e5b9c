"""Workers and the database are killed: nothing is lost, nothing counts twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from multiprocessing.process import BaseProcess

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.store import Store, StoreUnavailable, open_store
from tests.gateway.shadow.store.evidence import Time, a_sample, a_score, both
from tests.gateway.shadow.store.postgres import Server
from tests.gateway.shadow.store.worker import PROCESSES, work

MORTALS = 4
"""Fewer than it takes for a run to be given up as what ends its workers."""
HOLDER = """
import sys
from gateway.shadow.store import open_store
with open_store(sys.argv[1], clock=lambda: float(sys.argv[2])) as store:
    (claim,) = store.claim("killed", seconds=60)
    print(claim.run.id, flush=True)
    sys.stdin.read()
"""


def test_the_lease_of_a_killed_worker_runs_out(store: Store, url: str, time: Time) -> None:
    sample = a_sample()
    store.add(sample, *both(sample))
    arguments = [sys.executable, "-c", HOLDER, url, str(time.now)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline().strip() == both(sample)[0].id
        holder.send_signal(signal.SIGKILL)
    assert holder.returncode == -signal.SIGKILL
    (other,) = store.claim("b", seconds=60, limit=9)
    assert other.run == both(sample)[1]
    time.now += 60
    (first, second) = store.claim("b", seconds=60, limit=9)
    assert (first.run, first.attempt) == (both(sample)[0], 2)
    store.record(a_score(first.run), a_score(second.run))
    assert [(one, two) for _, one, two in store.evidence.pairs()] == [(Outcome.PASS, Outcome.PASS)]


def test_workers_that_are_killed_score_everything_once(store: Store, url: str) -> None:
    samples = [a_sample(number) for number in range(12)]
    for sample in samples:
        store.add(sample, *both(sample))
    killed = work_through(url)
    assert killed
    check_all_scored(store, samples_expected=12)


def work_through(url: str) -> int:
    """Two workers at a time, each replaced when it is killed; how many were."""
    numbers, killed = count(1), 0
    workers: list[BaseProcess] = []

    def start() -> BaseProcess:
        process = PROCESSES.Process(target=work, args=(url, next(numbers), MORTALS))
        process.start()
        return process

    try:
        workers += [start(), start()]
        while workers:
            done = workers.pop(0)
            done.join()
            if done.exitcode == -signal.SIGKILL:
                killed += 1
                workers.append(start())
            else:
                assert done.exitcode == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
    return killed


def check_all_scored(store: Store, samples_expected: int) -> None:
    """Each run once, and with what was its own answer."""
    found = list(store.evidence.runs())
    assert len(found) == 2 * samples_expected
    for drawn, scored, _ in found:
        (score,) = scored.scores
        assert (scored.outcome, score.program) == (Outcome.PASS, f"answer {drawn.sample.id} {scored.run.side}")
    assert not any(store.backlog().values())


def test_a_killed_postgresql_loses_nothing(postgres: Server) -> None:
    """One adds and one scores, as often as it takes, while the server is killed and started again."""
    url = postgres.empty_database()
    failures: Counter[str] = Counter()
    enough = threading.Event()
    added: list[str] = []
    left = ["not looked yet"]

    def insist(name: str, do: Callable[[], object]) -> None:
        while True:
            try:
                do()
                return
            except StoreUnavailable:
                failures[name] += 1
                threading.Event().wait(0.02)

    def add() -> None:
        for number in count():
            sample = a_sample(number)
            insist("add", partial(store.add, sample, *both(sample)))
            added.append(sample.id)
            if enough.is_set():
                return

    def score() -> None:
        while adding.is_alive() or left:
            insist("score", score_two)

    def score_two() -> None:
        for claim in store.claim("w", seconds=1, limit=2):
            store.record(a_score(claim.run, program=claim.run.answer or ""))
        left[:] = [state for state, number in store.backlog().items() if number]

    with open_store(url) as store:
        adding, scoring = threading.Thread(target=add), threading.Thread(target=score)
        adding.start()
        scoring.start()
        for kill in range(2):
            target = len(added) + 10
            while len(added) < target:
                threading.Event().wait(0.01)
            postgres.kill()
            postgres.start()
            assert adding.is_alive(), kill
        enough.set()
        adding.join()
        scoring.join()
        assert failures
        assert [drawn.sample.id for drawn in store.evidence.samples()] == added
        check_all_scored(store, samples_expected=len(added))
