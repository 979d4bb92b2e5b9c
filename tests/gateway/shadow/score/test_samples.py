"""Samples from files: everything is checked before anything runs, and said by line."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from gateway.shadow.score.samples import Samples
from gateway.shadow.suites.jsonl import LONGEST_LINE, InputError
from gateway.shadow.suites.task import Suite, SuiteKind
from tests.gateway.shadow.score.test_check import task

SUITE = Suite("mine", SuiteKind.OTHER, {"t/1": task(), "t/2": task(task_id="t/2")}, "")


def written(folder: Path, *rows: Any) -> str:
    path = folder / "samples.jsonl"
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in rows))
    return str(path)


def programs(path: str, **options: bool) -> list[tuple[str, str]]:
    with Samples(path, SUITE, **options) as samples:
        return [(sample.task.task_id, sample.program()) for sample in samples]


def test_solutions_and_completions_several_a_task_other_keys_ignored(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"task_id": "t/2", "solution": "def f(x): ...", "_identifier": "x", "raw_solution": 1},
        {"task_id": "t/1", "completion": "    return 1"},
        {"task_id": "t/2", "solution": "", "completion": "ignored"},
    )
    assert programs(path) == [
        ("t/2", "def f(x):\n    pass\ndef f(x): ..."),
        ("t/1", "def f(x):\n    pass\ndef f(x):\n    return 1"),
        ("t/2", "def f(x):\n    pass\n"),
    ]
    with Samples(path, SUITE) as samples:
        assert (len(samples), samples.per_task) == (3, {"t/1": 1, "t/2": 2})


def test_raw_answers_are_cut_to_their_code(tmp_path: Path) -> None:
    answer = "Sure!\n```python\ndef f(x):\n    return x + 1\n```\nIt adds one."
    path = written(tmp_path, {"task_id": "t/1", "solution": answer}, {"task_id": "t/1", "completion": "    return 1"})
    assert programs(path, raw=True) == [
        ("t/1", "def f(x):\n    pass\ndef f(x):\n    return x + 1"),
        ("t/1", "def f(x):\n    pass\ndef f(x):\n\n    return 1"),
    ]


def test_odd_characters_are_the_samples_own_affair(tmp_path: Path) -> None:
    path = written(tmp_path, {"task_id": "t/1", "solution": "\0"}, {"task_id": "t/1", "solution": "\ud83d"})
    assert [program[-1] for _, program in programs(path)] == ["\0", "\ud83d"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"solution": "x"}, "has no task_id"),
        ({"task_id": 1, "solution": "x"}, "task_id is a JSON number, and has to be text"),
        ({"task_id": "t/1"}, "has neither a solution nor a completion"),
        ({"task_id": "t/1", "solution": None}, "solution is a JSON null, and has to be text"),
        ({"task_id": "t/1", "solution": ["x"]}, "several samples are several lines"),
        (
            {"task_id": "BigCodeBench/1", "solution": "x"},
            "task_id 'BigCodeBench/1' is not in the suite mine, whose ids are like 't/1' (see --suite)",
        ),
        ('{"task_id"', "is not JSON"),
    ],
)
def test_a_broken_line_is_told_with_its_number(tmp_path: Path, row: Any, told: str) -> None:
    path = written(tmp_path, {"task_id": "t/1", "solution": "x"}, "", row)
    with pytest.raises(InputError) as caught:
        Samples(path, SUITE)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert told in str(caught.value)


def test_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty; it needs a line for each sample"):
        Samples(written(tmp_path), SUITE)


def test_stdin_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"task_id": "t/1", "solution": "def f(x): ..."}).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line)))
    assert programs("-") == [("t/1", "def f(x):\n    pass\ndef f(x): ...")]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}")))
    with pytest.raises(InputError, match="stdin:1: has no task_id"):
        programs("-")


def test_a_file_that_changes_meanwhile(tmp_path: Path) -> None:
    path = written(tmp_path, {"task_id": "t/1", "solution": "x"})
    with Samples(path, SUITE) as samples:
        written(tmp_path, {"task_id": "t/9", "solution": "x"})
        with pytest.raises(InputError, match="it was changed"):
            list(samples)


def test_a_sample_too_long_is_refused_and_many_cost_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    line = json.dumps({"task_id": "t/1", "solution": "x" * (1 << 20)}).encode() + b"\n"
    with path.open("wb") as file:
        for _ in range(40):
            file.write(line)
    tracemalloc.start()
    with Samples(str(path), SUITE) as samples:
        assert sum(1 for _ in samples) == 40
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
    with path.open("ab") as file:
        file.truncate(path.stat().st_size + LONGEST_LINE + 1)
    with pytest.raises(InputError, match=r"samples\.jsonl:41: is 32 MB long; 32 MB are the most"):
        Samples(str(path), SUITE)
