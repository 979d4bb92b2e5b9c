"""HumanEval's rows (`prompt`, `test` with `check(candidate)`), turned into tasks of the common schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.shadow.suites.bigcodebench import Complain, Unreadable, checked, text_of
from gateway.shadow.suites.methods import parsed
from gateway.shadow.suites.task import Task

FIELDS = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
IS_HUMANEVAL = re.compile(r"HumanEval/\d+").fullmatch


def is_humaneval(row: Mapping[str, Any]) -> bool:
    return "prompt" in row and "complete_prompt" not in row


def task_of(row: Mapping[str, Any], complain: Complain) -> Task:
    """`check(entry_point)` becomes the one test. There is no instruct form: its prompt is empty."""
    texts = {field: text_of(row, field, complain) for field in FIELDS}
    prompt, test, entry_point = texts.pop("prompt"), texts["test"], texts["entry_point"]
    texts |= {"complete_prompt": prompt, "instruct_prompt": "", "code_prompt": prompt}
    if test is not None and not _has_check(test):
        complain("test has no function check(candidate), which HumanEval's tasks are judged by")
        raise Unreadable
    if test is not None and entry_point is not None:
        texts["test"] = _as_test_case(test, entry_point)
    return checked(row, texts, complain)


def _as_test_case(test: str, entry_point: str) -> str:
    return (
        f"import unittest\n\n{test}\n\n\nclass TestCases(unittest.TestCase):\n"
        f"    def test_check(self):\n        check({entry_point})\n"
    )


def _has_check(test: str) -> bool:
    try:
        return any(getattr(node, "name", "") == "check" for node in parsed(test).body)
    except SyntaxError:
        return True  # that it does not parse is said by the common check
