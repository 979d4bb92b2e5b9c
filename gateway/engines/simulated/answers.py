"""Which text a simulated model answers with: code for a task that it knows, else real, tested code from ``library/``.

A prompt that names a subject of the library gets that subject, any other prompt gets one by its hash. The same prompt,
seed and choice index always give the same text. Chat answers are markdown with the code in a fence; a text completion
is what follows the prompt, code alone; a fill-in-the-middle prompt gets the middle alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.resources import files

from gateway.engines.simulated import infill
from gateway.engines.simulated.settings import SimulatedSettings
from gateway.engines.simulated.tasks import Sample, TaskBook, continues, read_tasks

_WORD = re.compile(r"[a-z]+")
_TAIL = 4_000  # characters at a prompt's end that are searched for a subject: a question follows its files

_OPENINGS = (
    "Here is a small, self-contained version:",
    "This does it with the standard library alone:",
    "A straightforward way to write this:",
    "You can use the following:",
)


@dataclass(frozen=True)
class Subject:
    """One file of the library. ``keywords`` are lower-case words, ``note`` follows the code."""

    name: str
    keywords: frozenset[str]
    note: str
    code: str

    def markdown(self, opening: str) -> str:
        return f"{opening}\n\n```python\n{self.code}```\n\n{self.note}\n"


_CATALOGUE = (
    ("iso_dates", "iso date datetime timestamp timezone utc", "A timestamp without an offset is taken as UTC."),
    ("lru_cache", "lru cache evict least recently", "Both `get` and `put` take constant time."),
    ("rest_pages", "rest client http api paginated pagination retry retries", "Pauses double with each attempt."),
    (
        "topological_sort",
        "topological dependency dependencies dag build",
        "Ties are broken by name, so the order is stable.",
    ),
    ("binary_search", "binary search sorted bisect", "It finds the first of equal values → O(log n) steps."),
    ("merge_intervals", "interval intervals overlap ranges", "Sorting dominates the cost: O(n log n)."),
    ("token_bucket", "rate limit limiter throttle bucket", "The clock is a parameter, so tests need not wait."),
    ("csv_totals", "csv sum total column report", "`Decimal` keeps amounts of money (€, £, ¥) exact."),
    (
        "shortest_path",
        "graph dijkstra shortest path route",
        "Each node is settled once; negative weights are not allowed.",
    ),
    ("flatten", "flatten nested json dict", "Empty containers disappear from the result."),
    (
        "word_count",
        "word words count frequency text unicode",
        "Case is folded, so “Straße” and “STRASSE” are one word.",
    ),
    ("worker_pool", "async asyncio concurrent concurrency parallel worker", "An exception cancels the remaining work."),
    ("matrix", "matrix matrices multiply transpose linear", "For large matrices use NumPy instead."),
    ("trie", "trie prefix autocomplete completion", "A lookup costs the length of the prefix."),
)


def _load(name: str, keywords: str, note: str) -> Subject:
    code = (files("gateway.engines.simulated.library") / f"{name}.py").read_text(encoding="utf-8")
    return Subject(name, frozenset(keywords.split()), note, code)


class Library:
    """All subjects, read once."""

    def __init__(self) -> None:
        self.subjects: Sequence[Subject] = tuple(_load(*entry) for entry in _CATALOGUE)

    def choose(self, prompt: str, seed: int, index: int) -> Subject:
        """The subject for choice ``index``. Among subjects that fit equally well, hash and index decide."""
        words = set(_WORD.findall(prompt[-_TAIL:].lower()))
        scores = [len(words & subject.keywords) for subject in self.subjects]
        best = max(scores)
        fitting = [subject for subject, score in zip(self.subjects, scores, strict=True) if score == best]
        return fitting[(_number(prompt, seed) + index) % len(fitting)]

    def chat(self, prompt: str, seed: int, index: int) -> str:
        """Markdown with one code block. ``prompt`` is what the user asked (not the rendered conversation)."""
        opening = _OPENINGS[(_number(prompt, seed) // 64 + index) % len(_OPENINGS)]
        return self.choose(prompt, seed, index).markdown(opening)

    def completion(self, prompt: str, seed: int, index: int) -> str:
        """Code alone."""
        return self.choose(prompt, seed, index).code

    def after(self, subject_number: int) -> str:
        """Endless further text, for requests that ignore the end of an answer: the library, one file after another."""
        return self.subjects[subject_number % len(self.subjects)].code


class Answers:
    """What one server answers with. A request without a seed is given 0 by the library, and by a task its next draw."""

    def __init__(self, library: Library, tasks: TaskBook | None = None) -> None:
        self._library = library
        self.tasks = tasks

    def chat(self, prompt: str, seed: int | None, choices: int, tokens: int = 1) -> list[str]:
        """``prompt`` is what the user asked (not the rendered conversation, of which there are ``tokens``)."""
        samples = self._samples(prompt, seed, choices, tokens)
        if samples is None:
            return [self._library.chat(prompt, seed or 0, index) for index in range(choices)]
        opening = _OPENINGS[_number(prompt, seed or 0) % len(_OPENINGS)]
        return [f"{opening}\n\n```python\n{sample.code}```\n" for sample in samples]

    def completion(self, prompt: str, seed: int | None, choices: int, tokens: int = 1) -> list[str]:
        if infill.prefix_of(prompt) is not None:
            subjects = [self._library.choose(prompt, seed or 0, index) for index in range(choices)]
            return [infill.middle(prompt, subject.code) for subject in subjects]
        samples = self._samples(prompt, seed, choices, tokens)
        if samples is None:
            return [self._library.completion(prompt, seed or 0, index) for index in range(choices)]
        if continues(samples[0].task, prompt):
            return [f"{sample.solution}\n" for sample in samples]
        return [sample.code for sample in samples]

    def _samples(self, prompt: str, seed: int | None, choices: int, tokens: int) -> list[Sample] | None:
        known = self.tasks.find(prompt) if self.tasks is not None else None
        if self.tasks is None or known is None:
            return None
        drawn_by = f"number {self.tasks.next_number(known)}" if seed is None else f"seed {seed}"
        return [self.tasks.sample(known, drawn_by, index, tokens) for index in range(choices)]


def build_answers(settings: SimulatedSettings, library: Library) -> Answers:
    """Raises TaskFileError, or OSError, where the task file can't be used."""
    if settings.tasks is None:
        return Answers(library)
    tasks = read_tasks(settings.tasks.file)
    return Answers(library, TaskBook(tasks, settings.tasks, seed=settings.seed, model=settings.model))


def _number(prompt: str, seed: int) -> int:
    digest = blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=8, key=seed.to_bytes(16, "big", signed=True))
    return int.from_bytes(digest.digest(), "big")
