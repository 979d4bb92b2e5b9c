"""What is never pooled, and by what it is then split."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from gateway.shadow.gate.draws import Kind, Served
from gateway.shadow.store import Sample
from gateway.shadow.suites.task import Suite
from gateway.shadow.threshold.inputs import HALF_OCTAVES

EDGES = HALF_OCTAVES[::2]
"""Buckets of prompt length, in the routing tokenizer: each up to twice the one before. One more for what is longer."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Figures of two strata are never pooled. `sampling`: the request's parameters. `inflated`: with distractor files
    around the task. `sample_kind`: the same as `kind`, but for a mirror the kind of the sample that it mirrors."""

    kind: Kind
    sample_kind: Kind
    suite: str
    form: str
    sampling: str
    inflated: bool

    @classmethod
    def of(cls, sample: Sample, kind: Kind) -> Stratum:
        return cls(kind, sample.kind, sample.suite, sample.form, sample.sampling, sample.inflated)


@dataclass(frozen=True, slots=True)
class Compared:
    """One family as it was served, or the two that were asked the same."""

    stratum: Stratum
    served: tuple[Served] | tuple[Served, Served]


class By(StrEnum):
    ALL = "all"
    LENGTH = "length"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a stratum. `order`: where it stands among those of its `by`."""

    by: By
    order: int
    name: str


WHOLE = Cut(By.ALL, 0, "all")


def length_cut(prompt_tokens: int) -> Cut:
    place = bisect_left(EDGES, prompt_tokens)
    if place == len(EDGES):
        return Cut(By.LENGTH, place, f"over {EDGES[-1]:,} tokens")
    return Cut(By.LENGTH, place, f"{EDGES[place - 1] + 1 if place else 1:,} to {EDGES[place]:,} tokens")


class Groups:
    """The categories or domains of tasks, of the suites that are at hand."""

    def __init__(self, suites: Iterable[Suite]) -> None:
        self._groups: dict[str, tuple[str, ...]] = {}
        for suite in suites:
            self._groups |= {task_id: tuple(dict.fromkeys(task.groups)) for task_id, task in suite.tasks.items()}

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._groups

    def cuts(self, task_id: str) -> Iterator[Cut]:
        """A task counts once in each of its groups."""
        for name in self._groups.get(task_id, ()):
            yield Cut(By.GROUP, 0, name)


def cuts(sample: Sample, groups: Groups) -> Iterator[Cut]:
    """All the parts that a sample counts in."""
    yield WHOLE
    yield length_cut(sample.prompt_tokens)
    yield from groups.cuts(sample.task_id)
