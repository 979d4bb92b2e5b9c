"""Rows in BigCodeBench's schema, checked field by field."""

from __future__ import annotations

import ast
import json
import keyword
import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.shadow.suites.domains import domains_of
from gateway.shadow.suites.jsonl import kind_of
from gateway.shadow.suites.methods import names_of_tests, parsed
from gateway.shadow.suites.task import Task

FIELDS = ("task_id", "complete_prompt", "instruct_prompt", "canonical_solution", "code_prompt", "test", "entry_point")
IS_BIGCODEBENCH = re.compile(r"BigCodeBench/\d+").fullmatch

_LONGEST_ID = 200
_LONGEST_LIBS = 10_000

Complain = Callable[[str], None]


class Unreadable(Exception):
    """A row that is no task. Every complaint was made already."""


def task_of(row: Mapping[str, Any], complain: Complain) -> Task:
    """`libs` and `doc_struct` may be text that holds a list and JSON, as in the hub's data, or those themselves."""
    return checked(row, {field: text_of(row, field, complain) for field in FIELDS}, complain)


def checked(row: Mapping[str, Any], texts: Mapping[str, str | None], complain: Complain) -> Task:
    """A task of these texts; Unreadable if any is missing, or can't be what its name says."""
    libs, doc_struct = _libs(row, complain), _doc_struct(row, complain)
    category, wrong = _category(row, complain), _wrong(row, complain)
    if libs is None or doc_struct is None or category is None or wrong is None or not _makes_sense(texts, complain):
        raise Unreadable
    given = {field: text for field, text in texts.items() if text is not None}
    groups = domains_of(libs) if IS_BIGCODEBENCH(given["task_id"]) else (category,) if category else ()
    return Task(**given, doc_struct=doc_struct, libs=libs, groups=groups, wrong=wrong)


def text_of(row: Mapping[str, Any], field: str, complain: Complain) -> str | None:
    """The field, or None after a complaint."""
    if field not in row:
        complain(f"has no field {field}, which every task needs as text")
        return None
    return _plain(row[field], field, complain)


def _plain(value: object, field: str, complain: Complain) -> str | None:
    if not isinstance(value, str):
        complain(f"{field} is a JSON {kind_of(value)}, and has to be text")
        return None
    if "\0" in value:
        complain(f"{field} has a NUL byte at character {value.index(chr(0)) + 1}, which Python source can't hold")
        return None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        complain(f"{field} has half of a character (a lone surrogate) at character {error.start + 1}; write it anew")
        return None
    return value


def _makes_sense(texts: Mapping[str, str | None], complain: Complain) -> bool:
    task_id, entry_point = texts["task_id"], texts["entry_point"]
    good = None not in texts.values()
    if task_id is not None and not (0 < len(task_id) <= _LONGEST_ID and task_id.isprintable()):
        complain(f"task_id has to be 1 to {_LONGEST_ID} printable characters")
        good = False
    if entry_point is not None and (not entry_point.isidentifier() or keyword.iskeyword(entry_point)):
        complain(f"entry_point is {entry_point[:40]!r}, and has to be the name of a function")
        good = False
    good = _parses("code_prompt", texts["code_prompt"], "\n    pass\n", complain) is not None and good
    tests = _parses("test", texts["test"], "", complain)
    if tests is not None and not names_of_tests(tests):
        complain("test has no class TestCases with a method test..., which a task is judged by")
    return good and tests is not None and bool(names_of_tests(tests))


def _parses(field: str, source: str | None, end: str, complain: Complain) -> ast.Module | None:
    if source is None:
        return None
    try:
        return parsed(source + end)
    except SyntaxError as error:
        beside = f" (its line {error.lineno})" if error.lineno else ""
        hint = "; it has to end with the entry point's header" if end else ""
        complain(f"{field} is not Python: {error.msg}{beside}{hint}")
        return None


def _libs(row: Mapping[str, Any], complain: Complain) -> tuple[str, ...] | None:
    value = row.get("libs", [])
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value) if len(value) <= _LONGEST_LIBS else None
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            value = None
    if isinstance(value, list) and all(isinstance(library, str) and library.isidentifier() for library in value):
        return tuple(value)
    complain("libs has to be a list of libraries, or text that holds one, such as \"['json', 'numpy']\"")
    return None


def _doc_struct(row: Mapping[str, Any], complain: Complain) -> str | None:
    value = row.get("doc_struct", "")
    if isinstance(value, dict):
        return json.dumps(value)
    try:
        if isinstance(value, str) and (not value or isinstance(json.loads(value), dict)):
            return value
    except (ValueError, RecursionError):
        pass
    complain("doc_struct has to be a JSON object, or text that holds one")
    return None


def _category(row: Mapping[str, Any], complain: Complain) -> str | None:
    return _plain(row.get("category", ""), "category", complain)


def _wrong(row: Mapping[str, Any], complain: Complain) -> tuple[str, ...] | None:
    """Our own field: answers that the tests have to refuse."""
    value = row.get("wrong", [])
    if not isinstance(value, list | tuple):
        complain(f"wrong is a JSON {kind_of(value)}, and has to be an array of solutions")
        return None
    answers = [_plain(answer, "wrong", complain) for answer in value]
    return None if None in answers else tuple(answer for answer in answers if answer is not None)
