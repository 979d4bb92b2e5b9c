"""What people ask: code to fill in, questions, many files. Drawn from the sources of Python's standard library."""

from __future__ import annotations

import json
import random
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from loadtests.people import house_rules

SYSTEM = house_rules.text()
QUESTIONS = (
    "Write a function that merges overlapping intervals, given as pairs in any order.",
    "How do I read a large CSV file without loading all of it, and sum one column per customer?",
    "Write a rate limiter with a token bucket whose clock can be replaced in tests.",
    "Parse ISO 8601 timestamps to UTC datetimes, and say which inputs you refuse.",
    "Order build targets by their dependencies and report cycles.",
    "Write an LRU cache with O(1) get and put, without functools.",
)
FOLLOW_UPS = (
    "Now add type hints and docstrings.",
    "What happens with an empty input? Handle it.",
    "Write three unit tests for it.",
    "Can it be made to run in linear time?",
    "Rewrite it so that it can be used from asyncio.",
)
STEPS = (
    "Which of these files would you change to make the errors more helpful, and how?",
    "Here is what the search found. Continue with the change and show the new code:",
    "The tests say this. Correct it:",
    "Here is another file that uses it. Adapt it:",
)
_LEFT_OUT = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})
_OWN_TASKS = Path(__file__).with_name("tasks.jsonl")


def prepare() -> None:
    """Looks for the files: a moment that would hold up everybody at the first request."""
    _paths()


@cache
def _paths() -> tuple[Path, ...]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    return tuple(p for p in sorted(folder.rglob("*.py")) if _LEFT_OUT.isdisjoint(p.relative_to(folder).parts))


@cache
def _source(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class Gap:
    """Code before and after a cursor."""

    prefix: str
    suffix: str


def gap(draw: random.Random) -> Gap:
    """A place in a file, within a line: 20 to 80 lines above it, 5 to 30 below."""
    while True:
        lines = _source(draw.choice(_paths())).splitlines(keepends=True)
        if len(lines) >= 60:
            break
    at = draw.randrange(30, len(lines) - 10)
    line = lines[at]
    cursor = draw.randrange(len(line) - len(line.lstrip()), len(line) + 1) if line.strip() else len(line)
    above = "".join(lines[max(0, at - draw.randint(20, 80)) : at]) + line[:cursor].rstrip("\n")
    return Gap(above, "\n" + "".join(lines[at + 1 : at + draw.randint(5, 30)]))


def files(draw: random.Random, characters: int) -> str:
    """Whole files with their names above them, the last one cut, so many characters in all."""
    paths, parts, length = _paths(), [], 0
    at = draw.randrange(len(paths))
    while length < characters:
        path = paths[at % len(paths)]
        part = f"# {path.parent.name}/{path.name}\n\n{_source(path)}\n"
        parts.append(part)
        length, at = length + len(part), at + 1
    return "".join(parts)[:characters]


def tokens_range(text: str) -> tuple[int, int]:
    """Of `--agent-tokens`. Raises ValueError."""
    fewest, _, most = text.partition("-")
    if not fewest.isdecimal() or not most.isdecimal() or not 0 < int(fewest) <= int(most):
        raise ValueError(f"--agent-tokens {text!r} is not FEWEST-MOST, as 20000-120000")
    return int(fewest), int(most)


def tasks(file: str) -> list[str]:
    """Instructions of a file in BigCodeBench's schema, or the project's own. Raises SystemExit with what is wrong."""
    path = Path(file) if file else _OWN_TASKS
    try:
        found = list(_instructions(path))
    except (OSError, ValueError) as error:
        raise SystemExit(f"--tasks {path}: {error}") from error
    if not found:
        raise SystemExit(f"--tasks {path}: it has no tasks")
    return found


def _instructions(path: Path) -> Iterator[str]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        task: Any = json.loads(line)
        text = task.get("instruct_prompt") if isinstance(task, dict) else None
        if not isinstance(text, str) or not text:
            raise ValueError(f"line {number} has no instruct_prompt: the tasks have to be in BigCodeBench's schema")
        yield text
