"""Prompts that are no task of an index: other tasks, under their own headers or one of the index's, and other text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.shadow.match import Form
from gateway.shadow.match.tfidf import Weights, grams, similarity
from gateway.shadow.suites.load import load
from gateway.shadow.suites.task import Task

_ROOT = Path(__file__).parents[4]
_PIECE = 2_000


def texts(task: Task) -> Iterator[tuple[Form, str]]:
    yield Form.COMPLETE, task.complete_prompt
    if task.instruct_prompt:
        yield Form.INSTRUCT, task.instruct_prompt


def held_out(tasks: Sequence[Task]) -> Iterator[str]:
    for task in tasks:
        for _, text in texts(task):
            yield text


def grafted(tasks: Sequence[Task], indexed: Sequence[Task]) -> Iterator[str]:
    """Other tasks' prompts with the header of the indexed task that they are most alike: as hard as it gets."""
    counted = [grams(task.complete_prompt) for task in indexed]
    weights = Weights(counted)
    vectors = [weights.document(counts, 0) for counts in counted]
    for task in tasks:
        query = weights.vector(grams(task.complete_prompt))
        nearest = max(range(len(indexed)), key=lambda place: similarity(query, vectors[place]))
        own, other = _header(task), _header(indexed[nearest])
        for _, text in texts(task):
            if own in text:
                yield text.replace(own, other)


def _header(task: Task) -> str:
    return task.code_prompt[task.code_prompt.rindex(task.entry_point) :].strip()


def five() -> Iterator[str]:
    return held_out(list(load("five").tasks.values()))


def own_text() -> Iterator[str]:
    """The project's documents and programs, in pieces, with a task's header of BigCodeBench below every other one."""
    files = sorted(path for folder in ("gateway", "routing") for path in (_ROOT / folder).rglob("*.py"))
    for number, file in enumerate([*sorted(_ROOT.glob("*.md")), *files]):
        text = file.read_text(encoding="utf-8")
        for start in range(0, min(len(text), 4 * _PIECE), _PIECE):
            piece = text[start : start + _PIECE]
            yield piece + ("\n\ndef task_func(df):\n" if number % 2 else "")
