"""One pool's view of prompt lengths: what is known at once, what is learned, and counting off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import Any

import msgspec

from gateway.families import Model, TemplateError
from gateway.tokens.counter import Counter
from gateway.tokens.prompt import CHAT, Prompt, Raws, cap_of, read_prompt
from gateway.tokens.sampling import ALL_ROUNDS, FIRST_ROUND, LATER_ROUNDS, Question
from routing.length import Count, Counted

Remote = Callable[[bytes], Awaitable[tuple[int, bytes]]]
"""Sends a body to a model server's ``/tokenize``: (status, answer). It may raise anything."""

_PLAUSIBLE = (1.3, 12.0)  # bytes per token: dense digits to deeply indented code
_LEAST_LEARNED = 2048  # bytes of prompt under which the template weighs too much
_WEIGHT = 0.02  # of one prompt in the running mean
_LOOKED_AT_HERE = 96 * 1024  # bytes of JSON up to which the event loop itself takes a first look
_WAITING = 64  # counts in line beyond which an estimate must do
_REMOTE_TEXTS = 8  # prompts of a list that the model server is asked to count
_REMOTE_FIELDS = (
    *("messages", "tools", "chat_template_kwargs", "add_generation_prompt", "continue_final_message"),
    "add_special_tokens",
)


class Tokens:
    """The three sources in order: ``counter`` (a tokenizer of our own), ``remote`` (the model server's), the estimate.

    ``workers`` bounds the threads that count; several pools share it. ``expansion`` and ``overhead`` are in the sense
    of `routing.length.PoolFacts`; ``bytes_per_token`` is rounded, so that it changes seldom.
    """

    def __init__(
        self, model: Model, workers: Executor, *, counter: Counter | None = None, remote: Remote | None = None
    ) -> None:
        self.model = model
        self._workers = workers
        self._counter = counter
        self._remote = remote
        self._waiting = 0
        self._ratio = model.bytes_per_token
        self.bytes_per_token = self._ratio
        known = counter.expansion if counter is not None else None
        self.expansion: int | None = model.expansion if known is None else known.factor
        around = 4 if known is None else known.around + known.prefixed
        self.overhead = (self.expansion or 1) * model.overhead_bytes + around

    @property
    def source(self) -> str:
        """For people: what counts this pool's prompts."""
        if self._counter is not None:
            return f"tokenizer ({self._counter.exact_library})"
        return "model server" if self._remote is not None else "estimate"

    def learn(self, text_bytes: int, tokens: int) -> None:
        """One prompt's length in bytes and in tokens, as `usage` or a count said. What can't be true is ignored."""
        if text_bytes < _LEAST_LEARNED or tokens <= 0:
            return
        seen = text_bytes / tokens
        if _PLAUSIBLE[0] <= seen <= _PLAUSIBLE[1]:
            self._ratio += _WEIGHT * (seen - self._ratio)
            self.bytes_per_token = round(self._ratio, 1)

    async def count(self, route: str, raws: Raws, wanted: Count) -> Counted:
        """The prompt's tokens, for what ``wanted`` asks. Never raises on a request's account.

        ``route``: the path of the chat or completions route. ``raws``: the JSON of the body's fields. Of a list of
        prompts, the longest. Where nothing can count, or too much waits, ``estimated``.
        """
        if self._counter is not None and self._waiting < _WAITING:
            counted = await self._count_here(self._counter, route, raws, wanted)
            if counted is not None:
                return counted
        elif self._counter is None and self._remote is not None:
            counted_there = await self._count_there(self._remote, route, raws)
            if counted_there is not None:
                return counted_there
        return self._estimate(route, raws)

    async def _count_here(self, counter: Counter, route: str, raws: Raws, wanted: Count) -> Counted | None:
        """None where the request can't be read.

        A first look at a prompt that is not large costs less (a quarter of a millisecond) than handing it to a thread.
        """
        job: PromptCount | None = None
        try:
            if wanted.high is not None and _raw_size(route, raws) <= _LOOKED_AT_HERE:
                job = PromptCount(counter, read_prompt(self.model, route, raws), wanted)
                if (estimate := job.estimated(FIRST_ROUND)) is not None:
                    return estimate

            def work() -> tuple[Counted, int]:
                here = job or PromptCount(counter, read_prompt(self.model, route, raws), wanted)
                found = here.estimated(ALL_ROUNDS if job is None else LATER_ROUNDS) or here.counted()
                return found, _utf8(here.prompt.texts[0]) if here.prompt.texts else 0

            self._waiting += 1
            try:
                counted, size = await asyncio.get_running_loop().run_in_executor(self._workers, work)
            finally:
                self._waiting -= 1
        except TemplateError:
            return None
        if counted.complete:
            self.learn(size, counted.tokens)
        return counted

    async def _count_there(self, remote: Remote, route: str, raws: Raws) -> Counted | None:
        try:
            bodies, cap = _remote_bodies(route, raws)
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, RecursionError):
            return None  # the model server will refuse the request: it is not ours to say why
        most = 0
        for body in bodies:
            try:
                status, answer = await remote(body)
                found = msgspec.json.decode(answer).get("count") if status == 200 else None
            except Exception:  # however the server fails: the request is better served with an estimate
                return None
            if not isinstance(found, int) or found < 0:
                return None
            if not _believable(len(body), found):
                return None
            if len(bodies) == 1:
                self.learn(len(body), found)
            most = max(most, found)
        return Counted(_capped(most, cap), complete=True) if bodies else None

    def _estimate(self, route: str, raws: Raws) -> Counted:
        return Counted(int(_raw_size(route, raws) / self._ratio) + 1, complete=False, estimated=True)


class PromptCount:
    """One request's prompts on their way to a number: an estimate if that will do, else a count."""

    def __init__(self, counter: Counter, prompt: Prompt, wanted: Count) -> None:
        self.prompt = prompt
        self._counter = counter
        # More than the cap need not be counted: it is cut.
        self._limit = wanted.up_to if prompt.cap is None else min(prompt.cap, wanted.up_to)
        self._question: Question | None = None
        if len(prompt.texts) == 1 and (wanted.low > 0 or wanted.high is not None):
            self._question = Question(prompt.texts[0], self._limit, wanted.low, wanted.high)

    def estimated(self, rounds: range) -> Counted | None:
        """From slices of the text, if they answer the question."""
        if self._question is None or (estimate := self._question.sampled(self._counter, rounds)) is None:
            return None
        return Counted(_capped(estimate.tokens, self.prompt.cap), complete=False, estimated=True)

    def counted(self) -> Counted:
        """The longest of the prompts. For a worker thread."""
        prompt, counter = self.prompt, self._counter
        factor, around, prefixed = counter.expansion
        most = Counted(prompt.ids, complete=True)
        for text in prompt.texts:
            if factor is not None and factor * _utf8(text) + around + prefixed <= most.tokens:
                break
            enough = self._question.counted if self._question else None
            found = counter.count(text, self._limit, special=prompt.special, enough=enough)
            if not found.complete:
                if prompt.cap is not None and found.tokens >= prompt.cap:
                    return Counted(prompt.cap, complete=True)
                return found
            most = max(most, found)
        return most._replace(tokens=_capped(most.tokens, prompt.cap))


def _raw_size(route: str, raws: Raws) -> int:
    fields = ("messages", "tools") if route == CHAT else ("prompt",)
    return sum(len(memoryview(raws[name])) for name in fields if name in raws)


def _remote_bodies(route: str, raws: Raws) -> tuple[Sequence[bytes], int | None]:
    """What to send to `/tokenize`, which needs no model name; the longest prompts first."""
    if route == CHAT:
        fields = {name: msgspec.Raw(raws[name]) for name in _REMOTE_FIELDS if name in raws}
        return [msgspec.json.encode(fields)], cap_of(raws)
    prompt: Any = msgspec.json.decode(raws["prompt"])
    special = msgspec.json.decode(raws["add_special_tokens"]) if "add_special_tokens" in raws else True
    prompts = prompt if isinstance(prompt, list) else [prompt]
    texts = [item for item in prompts if isinstance(item, str)]
    texts = sorted(texts, key=len, reverse=True)[:_REMOTE_TEXTS]
    bodies = [msgspec.json.encode({"prompt": text, "add_special_tokens": special}) for text in texts]
    return bodies, cap_of(raws)


def _believable(text_bytes: int, tokens: int) -> bool:
    """A server that says 24 tokens of 400 KB is broken; one token can be hundreds of blanks, but not thousands."""
    return tokens * 1024 >= text_bytes and tokens <= 33 * (text_bytes + 4096)


def _capped(tokens: int, cap: int | None) -> int:
    return tokens if cap is None else min(tokens, cap)


def _utf8(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
