"""What both harnesses judge: of each task a right, a wrong and an empty solution."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.engines.simulated.mutations import mutations
from gateway.shadow.suites.domains import domains_of
from gateway.shadow.suites.task import Task

SEED = 20_240_619
KINDS = ("canonical", "wrong", "empty")
_OFTEN_FATAL = "wrong-return"


@dataclass(frozen=True, slots=True)
class Judged:
    """``id`` names it in results, such as "BigCodeBench/13 wrong"."""

    task: Task
    kind: str
    solution: str

    @property
    def id(self) -> str:
        return f"{self.task.task_id} {self.kind}"

    @property
    def program(self) -> str:
        """As the official harness makes it by default; not with our own code, which is what is compared."""
        return f"{self.task.code_prompt}\n    pass\n{self.solution}"


def judged(tasks: Sequence[Task], kinds: Sequence[str] = KINDS) -> list[Judged]:
    """The same task gives the same samples, whatever others are beside it."""
    return [Judged(task, kind, _solution(task, kind)) for kind in kinds for task in tasks]


def _solution(task: Task, kind: str) -> str:
    if kind == "empty":
        return ""
    if kind == "canonical":
        return f"{task.complete_prompt}\n{task.canonical_solution}"
    return f"{task.complete_prompt}{_wrong(task)}"


def _wrong(task: Task) -> str:
    """One slip, drawn by the task's name: half of the time one that nearly every test notices."""
    draw = random.Random(f"{SEED} {task.task_id}")
    found = mutations(task.complete_prompt, task.canonical_solution)
    fatal = [mutation for mutation in found if mutation.kind == _OFTEN_FATAL]
    return draw.choice(fatal if fatal and draw.random() < 0.5 else found).solution


def domain(task: Task) -> str:
    """The one that most of its libraries belong to; of equals the first by name."""
    counts = Counter(domains_of(task.libs))
    return min(counts, key=lambda name: (-counts[name], name)) if counts else "General"


def stratified(tasks: Sequence[Task], count: int) -> list[Task]:
    """``count`` tasks, of each domain its share and at least one, drawn by seed, in the order of the file."""
    strata: dict[str, list[Task]] = {}
    for task in tasks:
        strata.setdefault(domain(task), []).append(task)
    draw = random.Random(SEED)
    shuffled = [draw.sample(members, len(members)) for _, members in sorted(strata.items())]
    shares = _shares([len(members) for members in shuffled], count)
    taken = {task.task_id for members, share in zip(shuffled, shares, strict=True) for task in members[:share]}
    return [task for task in tasks if task.task_id in taken]


def _shares(sizes: Sequence[int], count: int) -> list[int]:
    """By d'Hondt's rule, from one each on."""
    shares = [1] * len(sizes)
    while sum(shares) < min(count, sum(sizes)):
        free = [index for index, size in enumerate(sizes) if shares[index] < size]
        shares[max(free, key=lambda index: sizes[index] / (shares[index] + 1))] += 1
    return shares
