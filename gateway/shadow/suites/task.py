"""A task, and a suite of them: BigCodeBench's fields, whatever format they came in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Task:
    """`canonical_solution` and `wrong` begin with the entry point's body, as BigCodeBench's solutions do.

    `groups`: what it is reported under, a domain for each library (so one may come twice) or its category.
    """

    task_id: str
    complete_prompt: str
    instruct_prompt: str
    canonical_solution: str
    code_prompt: str
    test: str
    entry_point: str
    doc_struct: str = ""
    libs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @property
    def prelude(self) -> str:
        """What the prompt gives: imports, helpers, and the entry point with a body that does nothing."""
        return f"{self.code_prompt}\n    pass\n"

    def program(self, solution: str) -> str:
        """The module of a solution, put together as the official harness does ("calibrated").

        A whole module defines the entry point anew, and one that left out the prompt's imports has them; what begins
        with the entry point's body continues it.
        """
        return self.prelude + solution


class SuiteKind(StrEnum):
    FIVE = "five"
    BIGCODEBENCH = "bigcodebench"
    HUMANEVAL = "humaneval"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Suite:
    """`name` is what reports call it; `grouping` says what `Task.groups` are: "domain", "category" or "" for none."""

    name: str
    kind: SuiteKind
    tasks: Mapping[str, Task]
    grouping: str

    @property
    def digest(self) -> str:
        """Of all that may decide a verdict, whatever the order and layout of the file."""
        rows = sorted(json.dumps(asdict(task), sort_keys=True) for task in self.tasks.values())
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


def by_id(tasks: Iterable[Task]) -> dict[str, Task]:
    return {task.task_id: task for task in tasks}
