"""Source files counted once, in pieces, so that any number of tokens can be put together by adding."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from random import Random

from gateway.shadow.canary.sources import Source
from gateway.shadow.suites.task import Task

_PIECE = 2_048  # characters
_LOOK = 1_024  # characters within which a line that ends with a letter or digit is looked for
# Behind such a line tokenizers of the known kinds cut anyway (`gateway.tokens.split`), so counts of pieces add up.
_CLEAN_END = re.compile(r"(?<=[A-Za-z0-9])\n")
_END = re.compile(r"\n")


@dataclass(frozen=True, slots=True)
class Part:
    """A file, or its first lines."""

    source: Source
    text: str
    tokens: int


class Distractors:
    """Files in which parts are looked up by tokens. A file is counted when it is first drawn, about once in all."""

    def __init__(self, sources: Sequence[Source], count: Callable[[str], int]) -> None:
        """`count`: tokens of a text. Raises ValueError for two sources with one path."""
        self._sources = tuple(sources)
        self._count = count
        self._counted: dict[str, _Counted] = {}
        if len({source.path for source in self._sources}) < len(self._sources):
            raise ValueError("two distractor files have the same path")

    def shuffled(self, task: Task, random: Random) -> Iterator[Source]:
        """All that may stand beside the task, in random order."""
        for place in random.sample(range(len(self._sources)), len(self._sources)):
            if not gives_away(self._sources[place], task):
                yield self._sources[place]

    def part(self, source: Source, room: int) -> Part | None:
        """The file if it has at most so many tokens, else as many of its first lines; None where not one fits."""
        counted = self._counted_of(source)
        if counted.tokens[-1] <= room:
            return Part(source, source.text, counted.tokens[-1])
        whole = bisect_right(counted.tokens, room) - 1
        start, end = counted.ends[whole], counted.ends[whole + 1]
        places = [match.start() for match in _END.finditer(source.text, start + 1, end)]
        left = room - counted.tokens[whole]
        fitting = bisect_right(places, left, key=lambda place: self._count(source.text[start:place]))
        end = places[fitting - 1] if fitting else start
        text = source.text[:end].rstrip()
        return Part(source, text, counted.tokens[whole] + self._count(source.text[start:end])) if text else None

    def _counted_of(self, source: Source) -> _Counted:
        if source.path not in self._counted:
            ends = [0, *_cuts(source.text), len(source.text)]
            counts = (self._count(source.text[start:end]) for start, end in pairwise(ends))
            self._counted[source.path] = _Counted(ends, [0, *accumulate(counts)])
        return self._counted[source.path]


@dataclass(frozen=True, slots=True)
class _Counted:
    """Where pieces end (the first: 0), and the tokens up to there."""

    ends: list[int]
    tokens: list[int]


def _cuts(text: str) -> Iterator[int]:
    at = 0
    while at + _PIECE + _LOOK < len(text):
        window = at + _PIECE, at + _PIECE + _LOOK
        match = _CLEAN_END.search(text, *window) or _END.search(text, *window)
        at = match.start() if match else window[1]
        yield at


def gives_away(source: Source, task: Task) -> bool:
    """Whether a file names the task's entry point, or holds its canonical solution however that is spaced."""
    if re.search(rf"\b{re.escape(task.entry_point)}\b", f"{source.path}\n{source.text}"):
        return True
    words = task.canonical_solution.split()
    # Nearly every file lacks one of the longest words, so few have to be spaced anew.
    if not words or not all(word in source.text for word in sorted(words, key=len)[-3:]):
        return False
    return " ".join(words) in " ".join(source.text.split())
