"""Benchmark tasks that a simulated model knows: solved with a probability of their own, else answered with a slip.

How often the model solves a task is drawn once per (seed, model, task) from a Beta distribution with mean m and
concentration k: a = m k, b = (1 - m) k, so that the variance is m (1 - m) / (k + 1). A large k makes all tasks equally
hard; below 2 most tasks are either easy or hopeless. With m 0 or 1 every task has that rate.

A line of the task file may say itself how often its task is solved (`pass_rate`), and which solutions are known to be
wrong (`wrong`): then wrong answers are these, and no slips. How long a prompt is may matter, too: see `length_factors`.

Whether a sample is right, and which slip it has if not, follows from (seed, model, task, request's seed, choice). A
request without a seed takes the task's next number instead, counted from the server's start.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import groupby
from math import log
from pathlib import Path
from random import Random
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.engines.simulated.mutations import Mutation, SlipKind, mutations, parse

_ANCHOR = slice(1, 6)  # a prompt's words by which it is found; its first may be glued to what stands before it
_TAIL = 120_000  # characters at a prompt's end in which a task is looked for: canaries have up to some 24K tokens


class Task(BaseModel):
    """A line of a task file, in BigCodeBench's schema.

    Ours are ``category``, which may have a mean of its own; ``pass_rate`` of this task, None where it is to be drawn;
    and ``wrong``, bodies in place of ``canonical_solution`` that the task's tests are known to refuse.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    task_id: str
    complete_prompt: str
    instruct_prompt: str
    canonical_solution: str
    code_prompt: str
    entry_point: str = ""
    category: str = ""
    pass_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    wrong: tuple[str, ...] = ()

    @cached_property
    def slips(self) -> Mapping[str, Sequence[Mutation]]:
        """Wrong solutions by kind."""
        found = sorted(mutations(self.code_prompt, self.canonical_solution), key=lambda mutation: mutation.kind)
        return {kind: list(group) for kind, group in groupby(found, key=lambda mutation: mutation.kind)}


class TaskSettings(BaseModel):
    """Which tasks a model knows, and how often it solves them (see above for mean and concentration).

    ``length_factors``: by tokens of a prompt, the share of what a task's rate promises that is left of it; between them
    by the logarithm of the length, beyond them as at the last. Empty: no length matters.

    ``slips``: the kinds that wrong answers are made with; None for a task's own ``wrong`` solutions, or all kinds. A
    suite does not notice every slip, so that with slips the planted rate is a floor of what it measures: of one slip of
    each kind in 106 tasks of BigCodeBench that need the standard library alone, 27 of 260 passed all tests (of the kind
    ``wrong-return`` 1 of 104, off-by-one 12 of 50).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path
    pass_rate: Annotated[float, Field(ge=0, le=1)] = 0.55
    concentration: Annotated[float, Field(gt=0)] = 2.0
    category_pass_rates: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    slips: frozenset[SlipKind] | None = None
    length_factors: dict[Annotated[int, Field(gt=0)], Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)

    def length_factor(self, tokens: int) -> float:
        points = sorted(self.length_factors.items())
        if not points:
            return 1.0
        place = bisect_left(points, (max(1, tokens),))
        if place in (0, len(points)):
            return points[min(place, len(points) - 1)][1]
        (before, low), (after, high) = points[place - 1 : place + 1]
        return low + (high - low) * log(tokens / before) / log(after / before)


class TaskFileError(ValueError):
    """A task file that can't be used; the message says which line, and why."""


def read_tasks(path: Path) -> list[Task]:
    """One JSON object a line, empty lines skipped. Raises TaskFileError, or OSError if it can't be read."""
    tasks: dict[str, Task] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            task = Task.model_validate(json.loads(line))
            _check(task)
        except ValidationError as error:
            reasons = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'line'}: {item['msg']}" for item in error.errors()
            )
            raise TaskFileError(f"{path}, line {number}: {reasons}") from None
        except (ValueError, SyntaxError, RecursionError) as error:
            raise TaskFileError(f"{path}, line {number}: {error}") from None
        if task.task_id in tasks:
            raise TaskFileError(f"{path}, line {number}: {task.task_id} occurs twice")
        tasks[task.task_id] = task
    if not tasks:
        raise TaskFileError(f"{path}: no tasks in it")
    return list(tasks.values())


def _check(task: Task) -> None:
    parse((task.code_prompt + task.canonical_solution).encode())
    for name in ("complete_prompt", "instruct_prompt"):
        if not _words(getattr(task, name)):
            raise ValueError(f"{name} is empty")


@dataclass(frozen=True)
class Known:
    """A task, and how often this model solves it. ``solved_rate`` is planted truth: a measurement should find it."""

    task: Task
    solved_rate: float


@dataclass(frozen=True)
class Sample:
    """One answer to a task: the text that continues its signature. ``kind``: right, known-wrong, or a slip's."""

    task: Task
    kind: str
    solution: str

    @property
    def code(self) -> str:
        return f"{self.task.code_prompt}{self.solution}\n"


class TaskBook:
    """All tasks of one model. Finding one costs the prompt's length, however many there are."""

    def __init__(self, tasks: Iterable[Task], settings: TaskSettings, *, seed: int, model: str) -> None:
        self._seed = seed
        self._model = model
        self._settings = settings
        self.known = {task.task_id: Known(task, self._solved_rate(task)) for task in tasks}
        self._asked: defaultdict[str, int] = defaultdict(int)
        self._prompts: defaultdict[tuple[str, ...], list[tuple[str, Known]]] = defaultdict(list)
        for known in self.known.values():
            for prompt in (known.task.complete_prompt, known.task.instruct_prompt):
                words = _words(prompt)
                self._prompts[_anchor(words)].append((" ".join(words), known))
        self._anchor_sizes = sorted({len(anchor) for anchor in self._prompts})

    def find(self, text: str) -> Known | None:
        """The task whose prompt stands in ``text``, whatever the white space; of several the one with most of it."""
        words = _words(text[-_TAIL:])
        joined = " ".join(words)
        best: tuple[int, Known] | None = None
        for size in self._anchor_sizes:
            for anchor in {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}:
                for prompt, known in self._prompts.get(anchor, ()):
                    if (best is None or len(prompt) > best[0]) and prompt in joined:
                        best = (len(prompt), known)
        return None if best is None else best[1]

    def next_number(self, known: Known) -> int:
        """What stands in for the seed of a request that has none."""
        number = self._asked[known.task.task_id]
        self._asked[known.task.task_id] += 1
        return number

    def sample(self, known: Known, seed: str, choice: int, tokens: int = 1) -> Sample:
        """``seed``: the request's, or its number; the same seed and choice give the same sample at the same length.

        ``tokens``: of the prompt.
        """
        task = known.task
        random = self._random("sample", task.task_id, seed, str(choice))
        if random.random() < known.solved_rate * self._settings.length_factor(tokens):
            return Sample(task, "right", task.canonical_solution)
        if task.wrong and self._settings.slips is None:
            return Sample(task, "known-wrong", random.choice(task.wrong))
        wanted = self._settings.slips
        kinds = [kind for kind in sorted(task.slips) if wanted is None or kind in wanted]
        kind = random.choice(kinds or sorted(task.slips))  # a task may have no place for any that is wanted
        return Sample(task, kind, random.choice(task.slips[kind]).solution)

    def table(self) -> list[dict[str, Any]]:
        """Task by task, what was planted."""
        return [
            {"task_id": name, "category": known.task.category, "solved_rate": known.solved_rate}
            for name, known in self.known.items()
        ]

    def _solved_rate(self, task: Task) -> float:
        if task.pass_rate is not None:
            return task.pass_rate
        mean = self._settings.category_pass_rates.get(task.category, self._settings.pass_rate)
        if mean in (0.0, 1.0):
            return mean
        concentration = self._settings.concentration
        return self._random("rate", task.task_id).betavariate(mean * concentration, (1 - mean) * concentration)

    def _random(self, *parts: str) -> Random:
        digest = blake2b(json.dumps([self._seed, self._model, *parts]).encode(), digest_size=16)
        return Random(digest.digest())


def continues(task: Task, text: str) -> bool:
    """Whether ``text`` ends where the task's signature and docstring do, so that only a body is missing."""
    return " ".join(_words(text[-_TAIL:])).endswith(" ".join(_words(task.complete_prompt)))


def _words(text: str) -> list[str]:
    return text.split()


def _anchor(words: list[str]) -> tuple[str, ...]:
    return tuple(words[_ANCHOR] or words)
