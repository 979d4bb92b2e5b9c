"""Multi-file prompts from the Python standard library's own sources, cut to a wanted number of tokens."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.families import Model, render
from gateway.tokens import Counter

_LEFT_OUT = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})
_BYTES_PER_TOKEN = 8  # more than sources have: what is read suffices
_NEAR = 200  # characters around a cut that are tried one by one
# In places where each further character adds no token or two, another ending makes the length come out.
_ENDINGS = ("", "\n# end", "\n# the end", "\n# the end of it", "\n#")
_NO_LIMIT = 1 << 40
_SAMPLE = 40_000  # characters


@dataclass(frozen=True, slots=True)
class SizedPrompt:
    """``tokens``: of the whole rendered prompt, template included. ``first`` and ``files`` say what is in it."""

    text: str
    tokens: int
    files: int
    first: str


class Sources:
    """The standard library's modules in order of their paths, tests and installed packages left out."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._folder = Path(sysconfig.get_paths()["stdlib"])
        paths = sorted(self._folder.rglob("*.py"))
        self._paths = [path for path in paths if _LEFT_OUT.isdisjoint(path.relative_to(self._folder).parts)]

    def prompt(self, model: Model, share: float, tokens: int, question: str) -> SizedPrompt:
        """Files from ``share`` (0 to 1) of the way through the library on, the last one cut, and the question.

        Exactly ``tokens`` long in the model's template, unless no ending makes it so: then a little shorter. Raises
        ValueError if the library is too small.
        """
        headed = list(self._headed(share, tokens * _BYTES_PER_TOKEN))
        files = "\n".join(headed)

        def count(cut: int, ending: str = "") -> int:
            body = {"messages": [{"role": "user", "content": _asked(files[:cut] + ending, question)}]}
            return self._counter.count(render(model, body), _NO_LIMIT).tokens

        if count(len(files)) < tokens:
            raise ValueError(f"the standard library in {self._folder} has too few sources for {tokens:,} tokens")
        for ending in _ENDINGS:
            cut = _longest(partial(count, ending=ending), tokens, len(files))
            if count(cut, ending) == tokens:
                break
        text = _asked(files[:cut] + ending, question)
        used, length = 0, 0
        for file in headed:
            if length >= cut:
                break
            used, length = used + 1, length + len(file) + 1
        return SizedPrompt(text, count(cut, ending), used, headed[0].split(maxsplit=2)[1])

    def about(self, share: float, tokens: int, question: str) -> str:
        """A prompt of about so many tokens, within some percent: not counted, but reckoned from its beginning."""
        start = "\n".join(self._headed(share, _SAMPLE))[:_SAMPLE]
        characters = len(start) * tokens // self._counter.count(start, _NO_LIMIT).tokens
        return _asked("\n".join(self._headed(share, characters))[:characters], question)

    def _headed(self, share: float, size: int) -> Iterator[str]:
        """Files with their paths above them, until there are ``size`` characters; after the last comes the first."""
        start = int(share * len(self._paths))
        for path in self._paths[start:] + self._paths[:start]:
            if size <= 0:
                return
            text = path.read_text("utf-8", errors="replace")
            if text.strip():
                size -= len(text)
                yield f"# {path.relative_to(self._folder).as_posix()}\n\n{text}"


def _asked(files: str, question: str) -> str:
    return f"These are files of one project:\n\n{files}\n\n{question}"


def _longest(count: Callable[[int], int], tokens: int, most: int) -> int:
    """The cut whose count is ``tokens``, or one shortly below. Tokens nearly grow with the cut, but not always."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= tokens else (low, middle)
    nearby = sorted(range(max(0, low - _NEAR), min(most, low + _NEAR)), key=lambda cut: abs(cut - low))
    return next((cut for cut in nearby if count(cut) == tokens), low)
