"""Trials of a matcher: requests whose task is known, and what it made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from gateway.shadow.match import Kind, Match, Matcher, prompt_of
from gateway.shadow.suites.task import Task
from tests.gateway.shadow.match import strangers
from tests.gateway.shadow.match.perturb import PERTURBATIONS, Expected, body_of
from tests.gateway.shadow.match.sent import Body, Sent, chat


@dataclass(frozen=True, slots=True)
class Trial:
    """`task_id`: the task that it was made of, if that is in the index."""

    row: str
    expected: Expected
    body: Body
    task_id: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    trial: Trial
    match: Match | None

    def matched(self, threshold: float) -> bool:
        return self.match is not None and self.match.score >= threshold

    def right(self, threshold: float) -> bool:
        return self.match is not None and self.matched(threshold) and self.match.task_id == self.trial.task_id

    @property
    def exact(self) -> bool:
        return self.match is not None and self.match.kind is Kind.EXACT


def halved(tasks: Iterable[Task], random: Random) -> tuple[list[Task], list[Task]]:
    shuffled = sorted(tasks, key=lambda task: task.task_id)
    random.shuffle(shuffled)
    half = len(shuffled) // 2
    return shuffled[:half], shuffled[half:]


def perturbed(tasks: Sequence[Task], random: Random) -> Iterator[Trial]:
    for row, (expected, perturb) in PERTURBATIONS.items():
        for task in tasks:
            for form, text in strangers.texts(task):
                if made := perturb(Sent(task, form, text, random)):
                    yield Trial(row, expected, body_of(made), task.task_id)


def unrelated(indexed: Sequence[Task], others: Sequence[Task], *, beside_five: bool) -> Iterator[Trial]:
    rows = {
        "tasks held out": strangers.held_out(others),
        "tasks held out, with the nearest task's header": strangers.grafted(others, indexed),
        "the project's own text": strangers.own_text(),
    }
    if beside_five:
        rows["the suite five"] = strangers.five()
    for row, found in rows.items():
        for text in found:
            yield Trial(row, Expected.NONE, chat(("user", text)))


def run(matcher: Matcher, trials: Iterable[Trial]) -> list[Outcome]:
    outcomes = list[Outcome]()
    for trial in trials:
        prompt = prompt_of(trial.body)
        outcomes.append(Outcome(trial, matcher.match(prompt) if prompt else None))
    return outcomes
