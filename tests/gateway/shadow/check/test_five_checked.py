"""The suite `five`, checked both ways: right answers pass, wrong ones fail."""

from __future__ import annotations

import ast

import pytest

from gateway.shadow.suites import five
from gateway.shadow.suites.methods import names_of_tests
from tests.gateway.shadow.check.runs import check, passed

# What these tests hand over or look at has no value: a parser with its actions, a function's parameters.
NOT_SEPARABLE = {"five/documentation/8", "five/debugging/4"}


@pytest.mark.parametrize("kind", ["separate", "in-process"])
@pytest.mark.parametrize("task", five.tasks(), ids=lambda task: task["task_id"])
def test_right_answers(task: five.FiveTask, kind: str) -> None:
    assert _passes(kind, task, task["canonical_solution"]) == (kind == "in-process" or _is_separable(task))


@pytest.mark.parametrize("task", five.tasks(), ids=lambda task: task["task_id"])
def test_wrong_answers(task: five.FiveTask) -> None:
    kind = "separate" if _is_separable(task) else "in-process"  # that is how they are scored
    assert not any(_passes(kind, task, answer) for answer in task["wrong"])


def _is_separable(task: five.FiveTask) -> bool:
    return task["task_id"] not in NOT_SEPARABLE


def _passes(kind: str, task: five.FiveTask, answer: str) -> bool:
    names = names_of_tests(ast.parse(task["test"]))
    given = {
        "prelude": task["code_prompt"] + "\n    pass\n",
        "tests": task["test"],
        "entry_point": task["entry_point"],
        "names": names,
    }
    return passed(check(kind, five.program(task, answer), given), names)
