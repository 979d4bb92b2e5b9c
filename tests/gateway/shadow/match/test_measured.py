"""The trials of `measure`, on the suite five and, where there are any, on BigCodeBench's tasks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from gateway.shadow.match import Form, Matcher
from gateway.shadow.suites.load import load
from gateway.shadow.suites.task import Task
from tests.gateway.shadow.match.measure import (
    OTHER_ASK,
    distinct,
    precision_and_recall,
    precision_with_other_asks,
    table,
)
from tests.gateway.shadow.match.perturb import PERTURBATIONS, Expected
from tests.gateway.shadow.match.trial import Outcome, halved, perturbed, run, unrelated


def outcomes(tasks: Sequence[Task], *, beside_five: bool) -> list[Outcome]:
    random = Random(1)
    indexed, others = halved(tasks, random)
    return run(Matcher(indexed), [*perturbed(indexed, random), *unrelated(indexed, others, beside_five=beside_five)])


def holds(found: Sequence[Outcome]) -> None:
    assert {outcome.trial.row for outcome in found} >= set(PERTURBATIONS)
    for outcome in found:
        trial = outcome.trial
        assert outcome.exact is (trial.expected is Expected.EXACT), trial
        if trial.expected is Expected.EXACT:
            assert outcome.right(1), trial
            form = outcome.match and outcome.match.form
            assert form in (Form.COMPLETE, Form.INSTRUCT), trial
        if trial.expected is Expected.NONE and trial.task_id and trial.row != OTHER_ASK:
            assert outcome.match is None, trial


def test_five() -> None:
    found = outcomes(list(load("five").tasks.values()), beside_five=False)
    holds(found)
    precision, recall = precision_and_recall(found, 0)
    assert precision == 1
    assert recall > 0.95
    right = sum(outcome.right(0) for outcome in found if outcome.trial.expected is Expected.NEAR)
    misled = sum(outcome.match is not None for outcome in found if outcome.trial.row == OTHER_ASK)
    assert misled > 0
    assert precision_with_other_asks(found, 0) == right / (right + misled)


@pytest.mark.skipif(
    "YARDSTICK_TEST_DATA" not in os.environ, reason="YARDSTICK_TEST_DATA names no folder with real tasks"
)
def test_bigcodebench() -> None:
    suite = load(str(Path(os.environ["YARDSTICK_TEST_DATA"]) / "bigcodebench/tasks.jsonl"))
    found = outcomes(distinct(suite.tasks.values())[::4], beside_five=True)
    holds(found)
    precision, recall = precision_and_recall(found, 0)
    assert precision > 0.99
    assert recall > 0.95


def test_trials_and_table_are_the_same_every_time() -> None:
    tasks = list(load("five").tasks.values())[:10]
    one, other = (list(perturbed(tasks, Random(3))) for _ in range(2))
    assert one == other
    assert len({len(row.split("|")) for row in table(run(Matcher(tasks), one))}) == 1
