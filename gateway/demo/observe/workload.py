"""What live clients ask: chats, gaps to fill, tasks, files of 700 to 100,000 tokens, mistakes, and some who leave."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from gateway.config import RoutingSettings
from gateway.demo.engine import LONG, SHORT
from gateway.demo.sources import Sources
from gateway.demo.workload import AUTO, short_rows
from gateway.families import MODELS
from gateway.shadow.suites.load import DEFAULT, load
from gateway.tokens import Counter

LENGTHS = (700, 2_500, 6_000, 12_000, 24_000, 48_000, 100_000)
"""Tokens of prompts with files, about: one for each `length` that metrics tell apart."""
CHAT, FILL = "/v1/chat/completions", "/v1/completions"
BURST = 48
_MAX_TOKENS = 256
_TASKS = 6
_TOO_MANY_BYTES = 1_100_000
# Six of these fill the small server's blocks, and outgrow them as they are answered: one has to give way.
_BURST_TOKENS = 5_250
_BURST_OUTPUT = 512
_LEAVE_AFTER = 3  # chunks
_PLACES = 3  # of the library, from which prompts of each length begin: what comes again meets a warm prefix cache


@dataclass(frozen=True, slots=True)
class Ask:
    """``leave_after``: chunks, after which the client hangs up. ``clean``: it is meant to get a whole answer."""

    kind: str
    path: str
    body: dict[str, Any]
    leave_after: int | None = None
    clean: bool = True


class Workload:
    """``seed``: of the order, and of what is chosen where there is a choice."""

    def __init__(self, tokenizer: Path, seed: int = 0) -> None:
        self._random = Random(seed)
        sources = Sources(Counter.load(tokenizer))
        question = "What would you change here first?"
        self._files = {
            tokens: [sources.about(place / _PLACES, tokens, question) for place in range(_PLACES)] for tokens in LENGTHS
        }
        self._edge = sources.prompt(MODELS[SHORT], 0.01, RoutingSettings().threshold, question).text
        self._burst = [sources.about((place + 0.5) / BURST, _BURST_TOKENS, question) for place in range(BURST)]
        self._tasks = itertools.cycle([task.instruct_prompt for task in load(DEFAULT).tasks.values()])

    def cycle(self) -> list[Ask]:
        """Each kind at least once, in any order."""
        asks = [*self.clean(), *self._mistakes(), *self._leaving(), _not_sampled()]
        self._random.shuffle(asks)
        return asks

    def clean(self) -> Iterator[Ask]:
        """What gets a whole answer."""
        for row in short_rows(_MAX_TOKENS):
            yield Ask("chat", CHAT, row.body)
        for prompt in itertools.islice(self._tasks, _TASKS):
            yield Ask("task", CHAT, _chat(AUTO, prompt))
        for stream in (True, False):
            yield Ask("gap", FILL, _gap(stream))
        for tokens, prompts in self._files.items():
            yield Ask(f"files of {tokens:,} tokens", CHAT, _chat(AUTO, self._random.choice(prompts)))
        yield Ask("files, at the threshold", CHAT, _chat(AUTO, self._edge))  # near it prompts have to be counted
        yield Ask("files, long model named", CHAT, _chat(LONG, self._random.choice(self._files[2_500])))
        yield Ask("files, short model named", CHAT, _chat(SHORT, self._random.choice(self._files[12_000])))

    def burst(self) -> list[Ask]:
        """To be sent at once: more than the short model's servers take together, and long answers."""
        long = {"max_tokens": _BURST_OUTPUT, "ignore_eos": True}
        return [Ask("burst", CHAT, _chat(AUTO, prompt) | long) for prompt in self._burst]

    def _mistakes(self) -> Iterator[Ask]:
        yield Ask("unknown model", CHAT, _chat("no-such-model", "Reverse a list."), clean=False)
        too_long = _chat(SHORT, self._random.choice(self._files[48_000]))
        yield Ask("too long", CHAT, too_long, clean=False)

    def _leaving(self) -> Iterator[Ask]:
        for model in (SHORT, LONG):
            body = _chat(model, "Explain, with examples, how a B-tree splits its nodes.")
            yield Ask("left", CHAT, body, leave_after=_LEAVE_AFTER, clean=False)


def _not_sampled() -> Ask:
    """More bytes than shadow-eval takes a copy of."""
    return Ask("too large to sample", CHAT, _chat(AUTO, "Reverse a list.") | {"user": "x" * _TOO_MANY_BYTES})


def _chat(model: str, content: str) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": _MAX_TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _gap(stream: bool) -> dict[str, Any]:
    prompt, suffix = "def mean(values):\n    ", "\n    return total / len(values)\n"
    body: dict[str, Any] = {"model": AUTO, "prompt": prompt, "suffix": suffix, "max_tokens": 64}
    return {**body, "stream": True, "stream_options": {"include_usage": True}} if stream else body
