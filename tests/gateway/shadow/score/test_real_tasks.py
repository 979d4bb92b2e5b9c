"""BigCodeBench's own tasks, with its libraries, behind real walls at both levels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.shadow.environment import Environment
from gateway.shadow.sandbox.job import Limits
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.slot import Slot
from gateway.shadow.score.check import Checker
from gateway.shadow.score.samples import Sample
from gateway.shadow.score.verdict import Verdict
from gateway.shadow.suites.load import read
from gateway.shadow.suites.task import Suite, Task
from tests.gateway.shadow.walls import need

pytestmark = [
    pytest.mark.scoring,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "YARDSTICK_TEST_DATA" not in os.environ, reason="YARDSTICK_TEST_DATA names no folder with real tasks"
    ),
]
# Of each domain some, plain values and libraries' ones, files, networks' fakes, lazy settings.
SEPARATE = (1, 19, 23, 25, 52, 219, 256, 301, 433)
IN_PROCESS = (6, 14, 32, 76, 81, 158, 282)


@pytest.fixture(scope="module")
def suite() -> Suite:
    return read(str(Path(os.environ["YARDSTICK_TEST_DATA"]) / "bigcodebench/tasks.jsonl"))


@pytest.fixture(scope="module", params=list(Level))
def walls(request: pytest.FixtureRequest, scoring_environment: Environment) -> Iterator[tuple[Checker, Slot]]:
    level = need(Level(request.param))
    with Slot(level, scoring_environment.python, preload=scoring_environment.preload) as slot:
        yield Checker(level, Limits()), slot


def said(walls: tuple[Checker, Slot], task: Task, solution: str) -> Verdict:
    checker, slot = walls
    return checker.check(Sample(task, solution, len(solution)), slot)


@pytest.mark.parametrize("number", [*SEPARATE, *IN_PROCESS])
def test_a_canonical_solution_passes(number: int, walls: tuple[Checker, Slot], suite: Suite) -> None:
    task = suite.tasks[f"BigCodeBench/{number}"]
    verdict = said(walls, task, task.canonical_solution)
    assert verdict.says == "pass", verdict.reason
    assert verdict.level.endswith("/separate" if number in SEPARATE else "/in-process")


@pytest.mark.parametrize("number", [*SEPARATE, *IN_PROCESS])
def test_no_solution_is_none(number: int, walls: tuple[Checker, Slot], suite: Suite) -> None:
    verdict = said(walls, suite.tasks[f"BigCodeBench/{number}"], "    return None\n")
    assert verdict.says == "fail"
    assert verdict.reason
