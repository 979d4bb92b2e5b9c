"""Extraction gives what the official harness gives, of any answer, in bounded work."""

from __future__ import annotations

import ast
import json
import os
import warnings
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.shadow.extract import extract
from tests.gateway.shadow.answers import PROGRAMS, answer, scraps
from tests.gateway.shadow.official import DIGESTS, RECORDED, answers_to_tasks, digest, official

OFFICIAL = os.environ.get("YARDSTICK_BIGCODEBENCH")
TEN_MB = 10_000_000

seeds = st.integers(0, 2**32).map(Random)
model_answers = seeds.map(lambda random: answer(random, random.choice(PROGRAMS)))
answers = st.one_of(st.text(), st.text("\n\r\t (:#x=1'\\"), seeds.map(scraps), model_answers)


def test_it_agrees_with_the_official_harness() -> None:
    """On the recorded answers; with YARDSTICK_BIGCODEBENCH (a Python that has it) the harness is asked anew."""
    recorded = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    expected = [case["code"] for case in recorded]
    if OFFICIAL:
        assert official(OFFICIAL, [case["answer"] for case in recorded]) == expected
    assert len(recorded) > 150
    assert [extract(case["answer"], "task_func") for case in recorded] == expected


@pytest.mark.skipif("YARDSTICK_TEST_DATA" not in os.environ, reason="YARDSTICK_TEST_DATA names no folder of tasks")
def test_it_agrees_on_answers_to_the_real_tasks() -> None:
    given = answers_to_tasks(Path(os.environ["YARDSTICK_TEST_DATA"]) / "bigcodebench" / "tasks.jsonl")
    ours = [extract(text, "task_func") for text in given]
    assert [digest(code) for code in ours] == DIGESTS.read_text().split()
    if OFFICIAL:
        assert ours == official(OFFICIAL, given)


@given(seeds.map(scraps))
@settings(deadline=None)
def test_the_run_is_the_one_that_trying_all_finds(text: str) -> None:
    """An entry point that nothing defines and no imports: what is left is the longest run that parses."""
    text = text.replace("import", "inport")
    lines = text.split("\n")
    best, longest = 0, lines[:1]
    for first in range(len(lines)):
        for last in range(first + 1, len(lines)):
            filled = sum(1 for line in lines[first : last + 1] if line.strip())
            if filled > best and _parses("\n".join(lines[first : last + 1])):
                best, longest = filled, lines[first : last + 1]
    assert extract(text, "nobody_defines_this") == "\n".join(longest)


@given(answers, st.sampled_from(["task_func", "x", "", None]))
@settings(deadline=None)
def test_any_answer_gives_text_that_can_be_written(text: str, entry_point: str | None) -> None:
    extract(text, entry_point).encode()


@given(answers)
@settings(deadline=None)
def test_what_comes_back_parses_or_is_the_first_line(text: str) -> None:
    code = extract(text, None)
    assert _parses(code) or code == text.split("\n")[0]


@given(model_answers)
@settings(deadline=None)
def test_extracting_twice_changes_nothing(text: str) -> None:
    """Of tabs it need not hold: the harness takes lines that begin with them for outer ones."""
    assume("\t" not in text)
    once = extract(text, "task_func")
    assert extract(once, "task_func") == once


@pytest.mark.parametrize("entry_point", ["f", "g"])
def test_only_what_the_entry_point_reaches_is_kept(entry_point: str) -> None:
    text = (
        "import os\nA = 1\nB = A\n@cache\ndef h(): pass\n"
        "def f(x):\n    return B\ndef g(x):\n    return f.A\ndef f():\n    pass\nq()"
    )
    kept = {
        "f": "import os\nA = 1\nB = A\ndef f(x):\n    return B",
        "g": "import os\nA = 1\nB = A\ndef f(x):\n    return B\ndef g(x):\n    return f.A",
    }
    assert extract(text, entry_point) == kept[entry_point]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", ""),
        ("No code at all.\nSorry!", "No code at all."),
        ("print 'x'\nprint 'y'\nimport os\nx = 1\ndef f():\n    print 'z'", "import os"),
        ("\0\n\0import os\nimport re\ndef f():\n    pass\n\0", "import re\ndef f():\n    pass"),
        ("def f():\n    return '\ud800'\n", "def f():\n    return '?'"),
        ("Two:\r\n```\r\ndef f():\r\n    return 1\r\n```", "def f():\r\n    return 1"),
        ("```python\ndef f():\n    return 1\n", "def f():\n    return 1"),
        ("import re\n\ndef f():\n\treturn 1\n", "import re"),
        ("> import os\n> def f(): (\n", "> import os"),
    ],
    ids=["empty", "prose", "python 2", "null", "surrogate", "crlf", "unclosed", "tabs (as it does)", "quoted"],
)
def test_odd_answers(text: str, code: str) -> None:
    assert extract(text, "f") == code


@pytest.mark.parametrize(
    "deep",
    [
        "(" * 50_000,
        "x = " + "-" * 50_000 + "1",
        "x = 1" + "+1" * 50_000,
        "x = a" + ".b" * 50_000,
        "x = " + "[" * 201 + "]" * 201,
    ],
    ids=["brackets", "signs", "sums", "attributes", "nested lists"],
)
def test_nesting_too_deep_to_parse_ends_the_run_before_it(deep: str) -> None:
    assert extract(f"def f():\n    return 1\n{deep}\n", "f") == "def f():\n    return 1"


@pytest.mark.parametrize("line", ["x = 1\n", "x = '''\n", "\0", "a"])
def test_ten_megabytes_end(line: str) -> None:
    """The work is counted, not timed; the suite's own limit ends a test that hangs."""
    extract("import os\ndef f():\n    return 1\n\n" + line * (TEN_MB // len(line)), "f")


def test_code_is_found_behind_ten_megabytes_of_prose() -> None:
    prose = "Here is some prose that goes on for long, and it isn't code.\n"
    assert extract(prose * (TEN_MB // len(prose)) + "```\ndef f():\n    return 1\n```", "f") == "def f():\n    return 1"


def _parses(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, MemoryError, ValueError, RecursionError):
            return False
    return True
