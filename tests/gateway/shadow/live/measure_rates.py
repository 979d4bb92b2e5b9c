"""What reading pass@1 from a large store takes: `python -m tests.gateway.shadow.live.measure_rates [RUNS]`.

Pairs of canaries, each run with a verdict, on 1,140 tasks and on our own 40, of two forms and four lengths. Beside it
what a report takes, which reads every run. With 100,000 runs, on two cores that had much else to do: 0.70 to 0.74 s of
CPU (2.3 by the clock; 0.58 to 0.64 before lengths were told apart), and 18.8 s (77, on another day) for the report.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from sqlalchemy import Connection

from gateway.shadow.gate.draws import Served
from gateway.shadow.live.rates import Rates
from gateway.shadow.report.collect import collect
from gateway.shadow.report.report import Asked
from gateway.shadow.report.strata import Groups
from gateway.shadow.store import Role, Sample, Side, State, Store, open_store
from gateway.shadow.store.rows import run_row, sample_row, served_row
from gateway.shadow.store.schema import runs, samples, scores, served
from gateway.shadow.suites.load import load
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.report.planted import IDS, a_run_with, of
from tests.gateway.shadow.store.evidence import a_sample

_AT_ONCE = 5_000


def planted(pairs: int) -> Iterator[Sample]:
    for number in range(pairs):
        suite, task = ("big:1", f"big/{number % 1140}") if number % 2 else ("five:1", IDS[number % 40])
        form, tokens = "instruct" if number % 3 else "complete", 900 * 4 ** (number // 1140 % 4)
        yield a_sample(number, suite=suite, task_id=task, form=form, prompt_tokens=tokens)


def fill(store: Store, pairs: int) -> None:
    """Into the tables, many rows at once: one by one it would take an hour."""
    random, all_samples = Random(3), list(planted(pairs))
    with store._database.writing() as connection:
        connection.execute(served.insert(), [served_row(each) for each in (FIRST, SECOND)])
        for start in range(0, pairs, _AT_ONCE):
            _add(connection, all_samples[start : start + _AT_ONCE], random)


def _add(connection: Connection, drawn: list[Sample], random: Random) -> None:
    connection.execute(samples.insert(), [sample_row(each, with_prompt=False) for each in drawn])
    chances: list[tuple[Side, Served, float]] = [(Side.FIRST, FIRST, 0.5), (Side.SECOND, SECOND, 0.6)]
    its_runs, its_scores = [], []
    for sample in drawn:
        for side, whose, chance in chances:
            run, verdicts = a_run_with(sample, side, Role.CANARY, whose, of(random.random() < chance))
            its_runs.append(run_row(replace(run, state=State.SCORED), sample.at) | {"attempts": 1})
            its_scores += [asdict(each) for each in verdicts]
    connection.execute(runs.insert(), its_runs)
    connection.execute(scores.insert(), its_scores)


@contextmanager
def timed(what: str) -> Iterator[None]:
    began, used = time.perf_counter(), time.process_time()
    yield
    print(f"{what}: {time.perf_counter() - began:.2f} s, {time.process_time() - used:.2f} s of CPU", flush=True)


def main(count: int) -> None:
    groups = Groups([load("five")])
    with TemporaryDirectory() as folder, open_store(f"sqlite:///{Path(folder)}/store.db") as store:
        fill(store, count // 2)
        rates = Rates(store.evidence, groups, time.time)
        asked: list[tuple[str, Callable[[], object]]] = [
            *[("pass@1 for metrics", rates.read)] * 3,
            ("a report", lambda: collect(store.evidence, Asked(), groups)),
        ]
        for what, read in asked:
            with timed(f"{what}, {count:,} runs"):
                read()
        print(f"{len(rates.text):,} bytes of metrics")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100_000)
