"""Passes by task, added up by the database, are what reading every run comes to; on both databases."""

from __future__ import annotations

from collections import Counter
from random import Random

from gateway.shadow.gate.draws import Kind, Outcome
from gateway.shadow.score.verdict import Says
from gateway.shadow.store import Side, Store, TaskTally
from gateway.telemetry import names
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.report.planted import Planting
from tests.gateway.shadow.store.evidence import a_sample, both


def length(tokens: int) -> str:
    return next((str(bound) for bound in names.LENGTH_BOUNDS if tokens <= bound), "more")


def read_one_by_one(store: Store) -> list[TaskTally]:
    passed, rated = Counter[tuple[object, ...]](), Counter[tuple[object, ...]]()
    for drawn, scored, kind in store.evidence.runs():
        sample, outcome = drawn.sample, scored.outcome
        if outcome is not None and outcome.passed is not None:
            key = (kind, sample.kind, sample.suite, sample.form, sample.sampling, sample.inflated, scored.run.served)
            key = (*key, sample.task_id, length(sample.prompt_tokens))
            rated[key] += 1
            passed[key] += outcome.passed
    return [TaskTally(*key, passed[key], count) for key, count in rated.items()]  # type: ignore[arg-type]


def test_a_varied_store(store: Store) -> None:
    random, planting = Random(5), Planting(store)
    for _ in range(120):
        planting.pair(
            random.choice(list(Outcome)),
            random.choice(list(Outcome)),
            kind=random.choice([Kind.CANARY, Kind.LIVE_EXACT, Kind.LIVE_NEAR]),
            task_id=f"five/{random.randrange(4)}",
            suite=random.choice(["five:1", "five:2"]),
            form=random.choice(["complete", "instruct"]),
            sampling=random.choice(["", "temperature=0.2"]),
            target_tokens=random.choice([None, 4096]),
            prompt_tokens=random.choice([1, 1024, 1025, 131_072, 131_073]),
        )
    planting.control(canonical=True, outcome=Outcome.PASS)
    planting.control(canonical=False, outcome=Outcome.FAIL)
    planting.done()
    found = store.evidence.tallies()
    assert sorted(found, key=repr) == sorted(read_one_by_one(store), key=repr)
    assert {each.kind for each in found} == set(Kind)
    assert {each.served for each in found} == {FIRST, SECOND}
    assert {each.length for each in found} == {"1024", "4096", "131072", "more"}


def test_open_runs_and_second_verdicts_count_nothing(store: Store) -> None:
    planting = Planting(store)
    sample = a_sample(500)
    store.add(sample, *both(sample))
    planting.single(Outcome.PASS, task_id="five/1", kind=Kind.CANARY)
    planting.again(a_sample(1), Side.FIRST, Says.FAIL)
    planting.done()
    (only,) = store.evidence.tallies()
    assert (only.task_id, only.passed, only.rated) == ("five/1", 1, 1)


def test_an_empty_store_has_none(store: Store) -> None:
    assert store.evidence.tallies() == []
