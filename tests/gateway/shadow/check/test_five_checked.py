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
def test_answers(task: five.FiveTask, kind: str) -> None:
    names = names_of_tests(ast.parse(task["test"]))
    given = {
        "prelude": task["code_prompt"] + "\n    pass\n",
        "tests": task["test"],
        "entry_point": task["entry_point"],
        "names": names,
    }
    right, *wrong = (
        passed(check(kind, five.program(task, answer), given), names)
        for answer in (task["canonical_solution"], *task["wrong"])
    )
    assert right == (kind == "in-process" or task["task_id"] not in NOT_SEPARABLE)
    assert not any(wrong)
