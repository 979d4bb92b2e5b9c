"""Every task of the suite `five` tells right answers from wrong ones."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

import pytest

from gateway.shadow.suites import five

# Runs many (module, tests) pairs in one process. A test method has five seconds of CPU time.
_RUNNER = """
import io, json, signal, sys, types, unittest

def alarm(*_):
    raise TimeoutError("no end in sight")

def run(number, code, test):
    module = sys.modules[f"task{number}"] = types.ModuleType(f"task{number}")
    exec(compile(code, f"answer{number}.py", "exec"), module.__dict__)
    exec(compile(test, f"tests{number}.py", "exec"), module.__dict__)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(module.TestCases)
    signal.setitimer(signal.ITIMER_VIRTUAL, 5)
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    problems = [text for _, text in result.failures + result.errors]
    return {"ran": result.testsRun, "skipped": len(result.skipped), "problems": problems}

signal.signal(signal.SIGVTALRM, alarm)
answers, sys.stdout = sys.stdout, io.StringIO()
json.dump([run(n, *pair) for n, pair in enumerate(json.load(sys.stdin))], answers)
"""
_PROCESSES = 3


class Outcome(TypedDict):
    ran: int
    skipped: int
    problems: list[str]


def _run(pairs: list[tuple[str, str]]) -> list[Outcome]:
    """Outcomes in the order of the pairs."""
    shares = [pairs[first::_PROCESSES] for first in range(_PROCESSES)]
    with ThreadPoolExecutor(_PROCESSES) as threads:
        outcomes = list(threads.map(_run_in_one_process, shares))
    return [outcomes[at % _PROCESSES][at // _PROCESSES] for at in range(len(pairs))]


def _run_in_one_process(pairs: list[tuple[str, str]]) -> list[Outcome]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", _RUNNER], input=json.dumps(pairs), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    outcomes: list[Outcome] = json.loads(done.stdout)
    return outcomes


TASKS = five.tasks()


def test_every_canonical_solution_passes() -> None:
    outcomes = _run([(five.program(task, task["canonical_solution"]), task["test"]) for task in TASKS])
    problems = {task["task_id"]: done["problems"] for task, done in zip(TASKS, outcomes, strict=True)}
    assert {name: found for name, found in problems.items() if found} == {}
    assert all(done["ran"] >= 3 and done["skipped"] == 0 for done in outcomes)


def test_a_solution_after_the_complete_prompt_passes_too() -> None:
    outcomes = _run([(task["complete_prompt"] + task["canonical_solution"], task["test"]) for task in TASKS])
    assert [task["task_id"] for task, done in zip(TASKS, outcomes, strict=True) if done["problems"]] == []


def test_every_wrong_solution_fails_its_tests() -> None:
    """By failing tests: a module that does not even load would stop the runner. And no more than plausible ones do."""
    named = [
        (f"{task['task_id']} wrong {n}", task, wrong) for task in TASKS for n, wrong in enumerate(task["wrong"], 1)
    ]
    outcomes = _run([(five.program(task, wrong), task["test"]) for _, task, wrong in named])
    assert [name for (name, _, _), done in zip(named, outcomes, strict=True) if not done["problems"]] == []
    by_typo = re.compile(r"NameError|SyntaxError|IndentationError|UnboundLocalError")
    assert [
        name for (name, _, _), done in zip(named, outcomes, strict=True) if by_typo.search("".join(done["problems"]))
    ] == []
    # A mistake that every test notices would say little about the tests.
    assert [
        name for (name, _, _), done in zip(named, outcomes, strict=True) if len(done["problems"]) >= done["ran"]
    ] == []


def test_the_code_to_repair_fails_as_given() -> None:
    tasks = [task for task in TASKS if task["category"] == "debugging"]
    given = [re.findall(r"```python\n(.*?)```", task["instruct_prompt"], re.DOTALL) for task in tasks]
    assert all(len(blocks) == 1 for blocks in given)
    outcomes = _run([(blocks[0], task["test"]) for blocks, task in zip(given, tasks, strict=True)])
    assert [task["task_id"] for task, done in zip(tasks, outcomes, strict=True) if not done["problems"]] == []


def test_at_least_eight_tasks_a_category_with_ids_of_their_own() -> None:
    counts = Counter(task["category"] for task in TASKS)
    assert set(counts) == set(five.CATEGORIES)
    assert min(counts.values()) >= 8
    assert len({task["task_id"] for task in TASKS}) == len(TASKS)
    assert all(task["task_id"].startswith(f"five/{task['category']}/") for task in TASKS)


@pytest.mark.parametrize("task", TASKS, ids=[task["task_id"] for task in TASKS])
def test_schema(task: five.FiveTask) -> None:
    entry_point = task["entry_point"]
    assert entry_point in task["complete_prompt"]
    assert entry_point in task["instruct_prompt"]
    assert task["complete_prompt"].startswith(task["code_prompt"])
    assert task["code_prompt"] in task["instruct_prompt"]
    assert task["canonical_solution"].startswith("    ")
    assert len(set(task["wrong"])) == len(task["wrong"]) >= 3
    assert task["canonical_solution"] not in task["wrong"]
    for answer in (task["canonical_solution"], *task["wrong"]):
        assert entry_point in {getattr(node, "name", "") for node in ast.parse(five.program(task, answer)).body}
    assert "TestCases" in {getattr(node, "name", "") for node in ast.parse(task["test"]).body}
    fields = {"description", "notes", "params", "returns", "reqs", "raises", "examples"}
    assert set(json.loads(task["doc_struct"])) == fields
    assert set(ast.literal_eval(task["libs"])) <= sys.stdlib_module_names


@pytest.mark.skipif(
    "YARDSTICK_TEST_DATA" not in os.environ, reason="YARDSTICK_TEST_DATA names no folder with real tasks"
)
def test_the_fields_are_those_of_bigcodebench() -> None:
    with (Path(os.environ["YARDSTICK_TEST_DATA"]) / "bigcodebench/tasks.jsonl").open(encoding="utf-8") as file:
        theirs = json.loads(file.readline())
    assert set(theirs) | {"category", "wrong"} == set(TASKS[0])
    assert set(json.loads(theirs["doc_struct"])) == set(json.loads(TASKS[0]["doc_struct"]))


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ("# f\nDo.\n## Tests\n```python\nx = 1\n```\n", "Solution"),
        ("# f\nDo.\n## Solution\n```python\ndef g():\n    return 1\n```\n", "does not define f"),
        ("# f\nDo.\n## Solution\ndef f(): ...\n", "one fenced block"),
    ],
)
def test_a_malformed_task_is_named(tmp_path: Path, broken: str, complaint: str) -> None:
    path = tmp_path / "algorithms" / "1_broken.md"
    path.parent.mkdir()
    path.write_text(broken)
    with pytest.raises(ValueError, match=rf"algorithms/1_broken\.md: .*{complaint}"):
        five._read(path)
