"""Suites from files: three formats, one Task; what is wrong with a file is told by line and field."""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.shadow.suites.domains import DOMAIN_OF, DOMAINS
from gateway.shadow.suites.jsonl import LONGEST_LINE, InputError
from gateway.shadow.suites.load import load
from gateway.shadow.suites.methods import names_of_tests, parsed
from gateway.shadow.suites.task import SuiteKind

TESTS = (
    "import unittest\nclass TestCases(unittest.TestCase):\n    def test_it(self):\n        self.assertEqual(f(1), 2)\n"
)


def row(**changes: Any) -> dict[str, Any]:
    """A task in the hub's form; a field changed to None is left out."""
    fields = {
        "task_id": "own/1",
        "complete_prompt": 'def f(x):\n    """One more."""\n',
        "instruct_prompt": "One more.",
        "canonical_solution": "    return x + 1",
        "code_prompt": "def f(x):",
        "test": TESTS,
        "entry_point": "f",
        "doc_struct": '{"description": ["One more."]}',
        "libs": "['json', 'numpy', 'os']",
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


def written(folder: Path, *rows: Any, name: str = "tasks.jsonl") -> str:
    path = folder / name
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in rows))
    return str(path)


def complaint(path: str) -> str:
    with pytest.raises(InputError) as caught:
        load(path)
    return str(caught.value)


def test_five_is_a_suite_by_category() -> None:
    suite = load("five")
    assert (suite.name, suite.kind, suite.grouping, len(suite.tasks)) == ("five", SuiteKind.FIVE, "category", 40)
    assert {group for task in suite.tasks.values() for group in task.groups} == {
        "algorithms",
        "api_use",
        "debugging",
        "documentation",
        "multi_hop",
    }
    assert all(len(task.wrong) >= 3 for task in suite.tasks.values())


def test_the_hubs_text_fields_are_read(tmp_path: Path) -> None:
    suite = load(written(tmp_path, row(task_id="BigCodeBench/7")))
    task = suite.tasks["BigCodeBench/7"]
    assert task.libs == ("json", "numpy", "os")
    assert task.groups == ("System", "Computation", "System")  # as often as the official analysis counts it
    assert (suite.name, suite.kind) == ("BigCodeBench (1 of its 1,140 tasks)", SuiteKind.BIGCODEBENCH)
    assert task.program("    return x + 1") == "def f(x):\n    pass\n    return x + 1"


def test_lists_and_objects_are_read_too(tmp_path: Path) -> None:
    given = row(libs=["json"], doc_struct={"description": []}, category="parsing", wrong=["    return x"])
    suite = load(written(tmp_path, given))
    task = suite.tasks["own/1"]
    assert (task.libs, task.doc_struct, task.wrong) == (("json",), '{"description": []}', ("    return x",))
    assert (task.groups, suite.grouping, suite.kind, suite.name) == (
        ("parsing",),
        "category",
        SuiteKind.OTHER,
        "tasks.jsonl",
    )


def test_only_ids_make_a_file_bigcodebench(tmp_path: Path) -> None:
    both = load(written(tmp_path, row(task_id="BigCodeBench/1"), row(task_id="mine/1"), name="BigCodeBench.jsonl"))
    assert both.kind is SuiteKind.OTHER


def test_humaneval_becomes_the_same_task(tmp_path: Path) -> None:
    theirs = {
        "task_id": "HumanEval/3",
        "prompt": 'def f(x):\n    """One more."""\n',
        "canonical_solution": "    return x + 1\n",
        "test": "METADATA = {}\n\ndef check(candidate):\n    assert candidate(1) == 2\n",
        "entry_point": "f",
    }
    suite = load(written(tmp_path, theirs))
    task = suite.tasks["HumanEval/3"]
    assert (suite.kind, suite.grouping) == (SuiteKind.HUMANEVAL, "")
    space: dict[str, Any] = {}
    exec(task.program(task.canonical_solution) + "\n" + task.test, space)
    space["TestCases"]("test_check").debug()
    wrong: dict[str, Any] = {}
    exec(task.program("    return x") + "\n" + task.test, wrong)
    with pytest.raises(AssertionError):
        wrong["TestCases"]("test_check").debug()


def test_gzip_pipes_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = f"\ufeff\n{json.dumps(row())}\r\n\n   \n{json.dumps(row(task_id='own/2'))}".encode()
    plain, packed, pipe = tmp_path / "plain", tmp_path / "packed", tmp_path / "pipe"
    plain.write_bytes(text)
    packed.write_bytes(gzip.compress(text))
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(text,))
    writer.start()
    digests = {load(str(path)).digest for path in (plain, packed, pipe)}
    writer.join()
    assert len(digests) == 1


def test_a_digest_is_of_the_tasks_not_of_their_layout(tmp_path: Path) -> None:
    one, two = row(), row(task_id="own/2", test=TESTS.replace("2", "3"))
    first = load(written(tmp_path, one, two)).digest
    assert load(written(tmp_path, dict(reversed(two.items())), one)).digest == first
    assert load(written(tmp_path, one, two | {"test": TESTS})).digest != first


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"test": None}, "has no field test, which every task needs as text"),
        ({"entry_point": 7}, "entry_point is a JSON number, and has to be text"),
        ({"code_prompt": ["def f(x):"]}, "code_prompt is a JSON array, and has to be text"),
        ({"canonical_solution": "a\0b"}, "canonical_solution has a NUL byte at character 2"),
        ({"instruct_prompt": "\ud83d"}, "instruct_prompt has half of a character (a lone surrogate) at character 1"),
        ({"task_id": ""}, "task_id has to be 1 to 200 printable characters"),
        ({"task_id": "a\x1b[2J"}, "task_id has to be 1 to 200 printable characters"),
        ({"entry_point": "f; g"}, "entry_point is 'f; g', and has to be the name of a function"),
        ({"entry_point": "class"}, "entry_point is 'class', and has to be the name of a function"),
        ({"code_prompt": "def f(x"}, "it has to end with the entry point's header"),
        ({"test": "def test_it(): pass"}, "test has no class TestCases with a method test..."),
        ({"test": "class TestCases:\n    def helper(self): pass"}, "test has no class TestCases with a method test..."),
        ({"test": "class TestCases(:"}, "test is not Python"),
        ({"test": "x = " + "(" * 5000}, "test is not Python"),
        ({"libs": "json, os"}, "libs has to be a list of libraries"),
        ({"libs": "[1]"}, "libs has to be a list of libraries"),
        ({"libs": nested(2000)}, "libs has to be a list of libraries"),
        ({"doc_struct": "{"}, "doc_struct has to be a JSON object"),
        ({"doc_struct": nested(100_000)}, "doc_struct has to be a JSON object"),
        ({"category": 1}, "category is a JSON number"),
        ({"wrong": "x"}, "wrong is a JSON string, and has to be an array"),
        ({"wrong": [None]}, "wrong is a JSON null, and has to be text"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = written(tmp_path, row(task_id="own/0"), row() | changes if None not in changes.values() else row(**changes))
    assert told in complaint(path)
    assert complaint(path).startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"task_id": ', "is not JSON: Expecting value at column 12; each line has to be one JSON object"),
        ("[1, 2]", "is a JSON array; each line has to be one JSON object"),
        ("null", "is a JSON null; each line"),
        (nested(100_000), "holds JSON that can't be read"),
        ('{"a": ' + "9" * 5000 + "}", "holds JSON that can't be read"),
    ],
)
def test_a_line_that_is_no_object(tmp_path: Path, line: str, told: str) -> None:
    path = written(tmp_path, line)
    assert f"{path}:1: {told}" in complaint(path)


def test_a_byte_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b'{"a": "\xff"}\n')
    assert complaint(str(path)) == f"{path}:1: byte 8 is not UTF-8; save the file as UTF-8"


def test_humaneval_without_a_check(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "def f(x):\n", "test": "x = 1", "entry_point": "f", "task_id": "H/1"})
    assert "test has no function check(candidate)" in complaint(path)


def test_an_id_that_comes_twice_names_both_lines(tmp_path: Path) -> None:
    path = written(tmp_path, row(), row(task_id="own/2"), row())
    assert complaint(path) == f"{path}:3: task_id own/1 is that of line 1 too; ids are unique"


def test_many_problems_are_counted(tmp_path: Path) -> None:
    told = complaint(written(tmp_path, *["{}"] * 30)).splitlines()
    assert len(told) == 11
    assert told[-1] == "and 200 more like these"


def test_a_line_without_end_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    with path.open("wb") as file:
        file.write(json.dumps(row()).encode() + b"\n")
        file.truncate(LONGEST_LINE * 3)  # a hole: NULs, which cost no disk
    assert complaint(str(path)) == f"{path}:2: is 95 MB long; 32 MB are the most"


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(content)
    assert complaint(str(path)) == f"{path}: is empty; a suite is a file with one task a line"


def test_files_that_are_none(tmp_path: Path) -> None:
    assert complaint(str(tmp_path)).endswith("is a folder; name a file with one JSON object a line")
    assert complaint(str(tmp_path / "none")).endswith("can't be read: No such file or directory")
    broken = tmp_path / "tasks.jsonl.gz"
    broken.write_bytes(gzip.compress(json.dumps(row()).encode() * 1000)[:-30])
    assert "the gzip data is broken" in complaint(str(broken))


def test_tests_of_base_classes_and_lambdas_count(tmp_path: Path) -> None:
    source = (
        "class Base(Mixed):\n    def test_b(self): pass\n    def test_c(self): pass\n    test_data = [1]\n"
        "class Mixed(Base):\n    async def test_d(self): pass\n"
        "class TestCases(Base, unittest.TestCase):\n    def test_c(self): pass\n    test_a = lambda self: None\n"
    )
    assert names_of_tests(parsed(source)) == ("test_a", "test_b", "test_c", "test_d")


def test_a_library_has_one_domain() -> None:
    assert len(DOMAINS) == 7
    assert len(DOMAIN_OF) == sum(len(libraries.split()) for libraries in DOMAINS.values())


@pytest.mark.skipif(
    "YARDSTICK_TEST_DATA" not in os.environ, reason="YARDSTICK_TEST_DATA names no folder with real tasks"
)
def test_the_real_tasks_are_read() -> None:
    folder = Path(os.environ["YARDSTICK_TEST_DATA"]) / "bigcodebench"
    suite = load(str(folder / "tasks.jsonl"))
    assert (suite.kind, suite.grouping) == (SuiteKind.BIGCODEBENCH, "domain")
    assert all(task.groups for task in suite.tasks.values())
    assert json.loads((folder / "lib_domains.json").read_text()) == DOMAIN_OF
