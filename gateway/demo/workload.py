"""What the demo asks: short chats, and multi-file prompts up to the edge of the long window and one token over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.config import RoutingSettings
from gateway.demo.servers import ALIAS, LONG, SHORT
from gateway.demo.sources import Sources
from gateway.families import MODELS

AUTO = "auto"
MAX_TOKENS = 512
_WINDOW = MODELS[LONG].pool_window
_THRESHOLD = RoutingSettings().threshold
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


def short_rows() -> list[Row]:
    def auto(name: str, question: str, *, stream: bool, model: str = AUTO, twin: str = "") -> Row:
        return Row(name, _body(model, [_SYSTEM, _user(question)], stream=stream), SHORT, "short-prompt", twin=twin)

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
        Row("Worker pool, third turn", _body(AUTO, turns, stream=True), SHORT, "short-prompt"),
        _named("CSV totals, model named", SHORT, "Sum a column of amounts per customer in a CSV file, exactly."),
        _named("Shortest path, model named", LONG, graph),
    ]


def multi_file_rows(sources: Sources) -> Iterator[Row]:
    """Made one by one, since sizing the largest takes a moment. Raises ValueError if the library is too small."""
    yield _at_threshold(sources)
    fetching = "Write a client for a paginated REST API, in the style of these files: retries, with backoff."
    yield _multi_file(sources, 0.10, 20_000, fetching, stream=True)
    yield _multi_file(sources, 0.10, 20_000, fetching, stream=False)
    yield _multi_file(sources, 0.25, 40_000, "Which nested dict would you flatten here, and how?", stream=True)
    yield _multi_file(sources, 0.45, 65_000, "Write a trie for prefix completion over the names in here.", stream=True)
    yield _multi_file(sources, 0.60, 100_000, "Count how often each word occurs in the docstrings.", stream=True)
    edge = _WINDOW - MAX_TOKENS
    yield _multi_file(sources, 0.75, edge, "Multiply and transpose a matrix without NumPy.", stream=True)
    yield _multi_file(sources, 0.90, edge + 1, "What is imported but not used?", stream=True, fits=False)


def _at_threshold(sources: Sources) -> Row:
    """The longest prompt that is still short."""
    prompt = sources.prompt(MODELS[SHORT], 0.01, _THRESHOLD, "Write a matrix class in the style of these files.")
    name = f"{prompt.files} files from {prompt.first}, at the threshold"
    return Row(name, _body(AUTO, [_user(prompt.text)], stream=True), SHORT, "short-prompt", prompt.tokens)


def _multi_file(sources: Sources, share: float, tokens: int, question: str, *, stream: bool, fits: bool = True) -> Row:
    prompt = sources.prompt(MODELS[LONG], share, tokens, question)
    name = f"{prompt.files} files from {prompt.first}"
    if prompt.tokens == _WINDOW - MAX_TOKENS:
        name += ", window full"
    body = _body(AUTO, [_user(prompt.text)], stream=stream)
    if not fits:
        return Row(f"{name}, one token too long", body, "", "", prompt.tokens, refusal="context_length_exceeded")
    if not stream:
        return Row(f"{name}, not streamed", body, LONG, "long-prompt", prompt.tokens, twin=name)
    return Row(name, body, LONG, "long-prompt", prompt.tokens)


def _named(name: str, model: str, question: str) -> Row:
    return Row(name, _body(model, [_SYSTEM, _user(question)], stream=True), model, "named-model")


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _body(model: str, messages: list[dict[str, str]], *, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": MAX_TOKENS, "temperature": 0}
    return {**body, "stream": True, "stream_options": {"include_usage": True}} if stream else body
