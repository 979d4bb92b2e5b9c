"""What the demo asks: short chats, and multi-file prompts up to the edge of the long window and one token over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.demo.engine import ALIAS, LONG, SHORT, Lengths
from gateway.demo.sources import Sources
from gateway.families import MODELS

AUTO = "auto"
_SYSTEM = {"role": "system", "content": "You are a helpful coding assistant. Answer with Python code."}


@dataclass(frozen=True, slots=True)
class Row:
    """One request and what has to come of it.

    ``model`` and ``reason``: what the decision has to be; both empty where the gateway has to refuse with ``refusal``.
    ``tokens``: the prompt's length where it was made to measure. ``twin``: name of the row that asks the same the other
    way, streamed or whole, and so has to get the same answer.
    """

    name: str
    body: dict[str, Any]
    model: str
    reason: str
    tokens: int | None = None
    twin: str = ""
    refusal: str = ""

    @property
    def streamed(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def multi_file(self) -> bool:
        return self.tokens is not None


def short_rows(max_tokens: int) -> list[Row]:
    body = partial(_body, max_tokens=max_tokens)

    def auto(name: str, question: str, *, stream: bool, model: str = AUTO, twin: str = "") -> Row:
        return Row(name, body(model, [_SYSTEM, _user(question)], stream=stream), SHORT, "short-prompt", twin=twin)

    def named(name: str, model: str, question: str) -> Row:
        return Row(name, body(model, [_SYSTEM, _user(question)], stream=True), model, "named-model")

    cache = "Write an LRU cache in Python that evicts the least recently used entry, with O(1) get and put."
    graph = "Implement Dijkstra's shortest path on a weighted graph, with a heap."
    turns = [
        _SYSTEM,
        _user("How do I run a function for many items at once?"),
        {"role": "assistant", "content": "With a pool of workers; `asyncio` or threads, depending on the function."},
        _user("With asyncio, please: a worker pool of bounded concurrency that stops at the first exception."),
    ]
    return [
        auto("LRU cache", cache, stream=True),
        auto("LRU cache, not streamed", cache, stream=False, twin="LRU cache"),
        auto(f"ISO dates, as {ALIAS}", "Parse ISO 8601 timestamps to UTC datetimes.", stream=False, model=ALIAS),
        auto("Rate limiter", "Write a token bucket rate limiter whose clock can be replaced in tests.", stream=True),
        auto(
            "Build order",
            "Order build targets by their dependencies, a topological sort, and find cycles.",
            stream=True,
        ),
        auto("Binary search", "Write a binary search for the first equal element of a sorted list.", stream=False),
        auto("Merge intervals", "Merge overlapping intervals, given as pairs in any order.", stream=False),
        Row("Worker pool, third turn", body(AUTO, turns, stream=True), SHORT, "short-prompt"),
        named("CSV totals, model named", SHORT, "Sum a column of amounts per customer in a CSV file, exactly."),
        named("Shortest path, model named", LONG, graph),
    ]


def multi_file_rows(sources: Mapping[str, Sources], lengths: Lengths) -> Iterator[Row]:
    """Made one by one, since sizing the largest takes a moment. Raises ValueError if the library is too small."""
    yield _at_threshold(sources[SHORT], lengths)
    multi_file = partial(_multi_file, sources[LONG], lengths)
    first, second, third, fourth = lengths.several
    fetching = "Write a client for a paginated REST API, in the style of these files: retries, with backoff."
    yield multi_file(0.10, first, fetching, stream=True)
    yield multi_file(0.10, first, fetching, stream=False)
    yield multi_file(0.25, second, "Which nested dict would you flatten here, and how?", stream=True)
    yield multi_file(0.45, third, "Write a trie for prefix completion over the names in here.", stream=True)
    yield multi_file(0.60, fourth, "Count how often each word occurs in the docstrings.", stream=True)
    edge = lengths.window - lengths.max_tokens
    yield multi_file(0.75, edge, "Multiply and transpose a matrix without NumPy.", stream=True)
    yield multi_file(0.90, edge + 1, "What is imported but not used?", stream=True)


def _at_threshold(sources: Sources, lengths: Lengths) -> Row:
    """The longest prompt that is still short."""
    question = "Write a matrix class in the style of these files."
    prompt = sources.prompt(MODELS[SHORT], 0.01, lengths.threshold, question)
    name = f"{prompt.files} files from {prompt.first}, at the threshold"
    body = _body(AUTO, [_user(prompt.text)], stream=True, max_tokens=lengths.max_tokens)
    return Row(name, body, SHORT, "short-prompt", prompt.tokens)


def _multi_file(sources: Sources, lengths: Lengths, share: float, tokens: int, question: str, *, stream: bool) -> Row:
    prompt = sources.prompt(MODELS[LONG], share, tokens, question)
    room = lengths.window - lengths.max_tokens
    name = f"{prompt.files} files from {prompt.first}"
    if prompt.tokens == room:
        name += ", window full"
    body = _body(AUTO, [_user(prompt.text)], stream=stream, max_tokens=lengths.max_tokens)
    if tokens > room:
        return Row(f"{name}, one token too long", body, "", "", prompt.tokens, refusal="context_length_exceeded")
    if not stream:
        return Row(f"{name}, not streamed", body, LONG, "long-prompt", prompt.tokens, twin=name)
    return Row(name, body, LONG, "long-prompt", prompt.tokens)


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _body(model: str, messages: list[dict[str, str]], *, stream: bool, max_tokens: int) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": max_tokens, "temperature": 0}
    return {**body, "stream": True, "stream_options": {"include_usage": True}} if stream else body
