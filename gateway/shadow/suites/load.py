"""`--suite`: the suite `five`, or a JSONL file of tasks. A file is BigCodeBench only if its ids say so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.shadow.suites import bigcodebench, five, humaneval
from gateway.shadow.suites.jsonl import InputError, Problem, Problems, lines, opened
from gateway.shadow.suites.task import Suite, SuiteKind, Task, by_id

DEFAULT = "five"
_MOST_TEXT = 1 << 30
_WHOLE = {SuiteKind.BIGCODEBENCH: ("BigCodeBench", 1140), SuiteKind.HUMANEVAL: ("HumanEval", 164)}


def load(name: str) -> Suite:
    """InputError says all that is wrong with the file, by line."""
    return _five() if name == DEFAULT else read(name)


def read(path: str) -> Suite:
    problems, tasks, seen, size = Problems(path), list[Task](), dict[str, int](), 0
    with opened(path) as file:
        for line in lines(file, path):
            size += line.length
            if size > _MOST_TEXT:
                raise InputError(path, [Problem(line.number, f"is beyond {_MOST_TEXT >> 30} GB of tasks: no suite")])
            if line.value is None:
                problems.add(line.number, line.problem)
            elif task := _task(line.value, line.number, problems):
                tasks.append(task)
                if (first := seen.setdefault(task.task_id, line.number)) != line.number:
                    problems.add(line.number, f"task_id {task.task_id} is that of line {first} too; ids are unique")
    problems.raise_any()
    if not tasks:
        raise InputError(path, [Problem(0, "is empty; a suite is a file with one task a line")])
    return _suite(path, tasks)


def _task(row: Mapping[str, Any], number: int, problems: Problems) -> Task | None:
    def complain(text: str) -> None:
        problems.add(number, text)

    task_of = humaneval.task_of if humaneval.is_humaneval(row) else bigcodebench.task_of
    try:
        return task_of(row, complain)
    except bigcodebench.Unreadable:
        return None


def _suite(path: str, tasks: list[Task]) -> Suite:
    kind = SuiteKind.OTHER
    if all(bigcodebench.IS_BIGCODEBENCH(task.task_id) for task in tasks):
        kind = SuiteKind.BIGCODEBENCH
    elif all(humaneval.IS_HUMANEVAL(task.task_id) for task in tasks):
        kind = SuiteKind.HUMANEVAL
    name, whole = _WHOLE.get(kind, (Path(path).name, len(tasks)))
    if len(tasks) != whole:
        name = f"{name} ({len(tasks):,} of its {whole:,} tasks)"
    grouping = "domain" if kind is SuiteKind.BIGCODEBENCH else "category" if any(t.groups for t in tasks) else ""
    return Suite(name, kind, by_id(tasks), grouping)


def _five() -> Suite:
    problems = Problems(DEFAULT)
    tasks = [_task(row, number, problems) for number, row in enumerate(five.tasks(), 1)]
    problems.raise_any()
    return Suite("five", SuiteKind.FIVE, by_id(task for task in tasks if task is not None), "category")
