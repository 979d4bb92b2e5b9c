"""Samples in the official harness's format, a JSON object a line: `task_id` and `solution`, or `completion`.

A solution is a whole module or begins with the entry point's body; a completion continues the task's complete prompt.
Other keys are ignored, and a task may have several samples. All lines are checked before the first is handed out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from gateway.shadow.extract import extract
from gateway.shadow.suites.jsonl import InputError, Problem, Problems, kind_of, lines, opened
from gateway.shadow.suites.task import Suite, Task


@dataclass(frozen=True, slots=True)
class Sample:
    """`length`: what it holds in memory, about. `raw`: a model's answer, from which the code is yet to be cut."""

    task: Task
    text: str
    length: int
    raw: bool = False

    def program(self) -> str:
        """Work that grows with the answer; bounded."""
        return self.task.program(extract(self.text, self.task.entry_point) if self.raw else self.text)


class Samples:
    """A file of samples, `-` for stdin. InputError lists what is wrong with it; iterating reads it again, in order."""

    def __init__(self, path: str, suite: Suite, *, raw: bool = False) -> None:
        self._name = "stdin" if path == "-" else path
        self._suite, self._raw = suite, raw
        self._file = opened(path)
        self.per_task: Counter[str] = Counter()
        try:
            self._check()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Samples:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self.per_task.total()

    def __iter__(self) -> Iterator[Sample]:
        for line in lines(self._file, self._name):
            if line.value is None or (problem := _problem(line.value, self._suite)):
                raise InputError(self._name, [Problem(line.number, line.problem or f"{problem}; it was changed")])
            task = self._suite.tasks[line.value["task_id"]]
            yield Sample(task, self._text(line.value, task), line.length, self._raw)

    def _text(self, value: Mapping[str, Any], task: Task) -> str:
        """As the official harness does, which puts a line break before a completion only where it extracts."""
        if "solution" in value:
            return str(value["solution"])
        between = "\n" if self._raw else ""
        return f"{task.complete_prompt}{between}{value['completion']}"

    def _check(self) -> None:
        problems = Problems(self._name)
        for line in lines(self._file, self._name):
            if problem := line.problem if line.value is None else _problem(line.value, self._suite):
                problems.add(line.number, problem)
            elif line.value is not None:
                self.per_task[line.value["task_id"]] += 1
        problems.raise_any()
        if not self.per_task:
            raise InputError(self._name, [Problem(0, "is empty; it needs a line for each sample")])


def _problem(value: Mapping[str, Any], suite: Suite) -> str:
    task_id = value.get("task_id")
    if not isinstance(task_id, str):
        return "has no task_id" if task_id is None else f"task_id is a JSON {kind_of(task_id)}, and has to be text"
    if task_id not in suite.tasks:
        example = next(iter(suite.tasks))
        return (
            f"task_id {task_id[:80]!r} is not in the suite {suite.name}, whose ids are like {example!r} (see --suite)"
        )
    field = "solution" if "solution" in value else "completion"
    if field not in value:
        return "has neither a solution nor a completion"
    if not isinstance(value[field], str):
        return f"{field} is a JSON {kind_of(value[field])}, and has to be text; several samples are several lines"
    return ""
