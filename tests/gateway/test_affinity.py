"""Prompts that begin alike are known by the same number."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.affinity import affinity_of
from gateway.request import Request, Route

SYSTEM = {"role": "system", "content": "You repair code. " * 100}


def number(body: dict[str, Any], route: Route = Route.CHAT, **options: Any) -> int | None:
    return affinity_of(Request(route, json.dumps(body, **options).encode()))


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": list(messages), **fields}


def turned(message: dict[str, Any]) -> dict[str, Any]:
    """The same message with its content before its role, as some clients write it."""
    return {"content": message["content"], "role": message["role"]}


text = st.text(max_size=200)


@given(text, text, text, st.booleans(), st.sampled_from([None, 2]))
def test_a_conversation_keeps_its_number(question: str, answer: str, more: str, swap: bool, indent: int | None) -> None:
    order = turned if swap else dict
    first = [order(SYSTEM), order({"role": "user", "content": question})]
    later = [order({"role": "assistant", "content": answer}), order({"role": "user", "content": more})]
    assert number(chat(*first), indent=indent) == number(chat(*first, *later), indent=indent) is not None


def test_content_parts_too() -> None:
    parts = [{"type": "text", "text": "Mend it.", "cache_control": {"type": "ephemeral"}}]
    first = [SYSTEM, {"role": "user", "content": parts}]
    assert number(chat(*first)) == number(chat(*first, {"role": "assistant", "content": "Done."}))


def test_other_questions_under_one_system_prompt_differ() -> None:
    found = {number(chat(SYSTEM, {"role": "user", "content": f"Question {n}"})) for n in range(50)}
    assert len(found) == 50


def test_very_long_beginnings_that_differ_at_their_ends_differ() -> None:
    long = "x" * 50_000
    assert number(chat({"role": "user", "content": long + "a"})) != number(
        chat({"role": "user", "content": long + "b"})
    )


def test_short_prompts_have_none() -> None:
    assert number(chat({"role": "user", "content": "hi"})) is None
    assert number({"model": "auto", "prompt": "def f("}, Route.COMPLETIONS) is None


def test_completions_are_known_by_how_they_begin() -> None:
    file = "import os\n" * 200
    one = number({"model": "auto", "prompt": file}, Route.COMPLETIONS)
    assert one == number({"model": "auto", "prompt": file + "def f("}, Route.COMPLETIONS) is not None
    assert one != number({"model": "auto", "prompt": "import re\n" * 200}, Route.COMPLETIONS)


@pytest.mark.parametrize(("key", "counts"), [("session-7", True), ("", False), (7, False), (None, False)])
def test_a_cache_key_takes_the_place_of_the_prompt(key: Any, counts: bool) -> None:
    one = number(chat({"role": "user", "content": "a"}, prompt_cache_key=key))
    other = number(chat({"role": "user", "content": "b"}, prompt_cache_key=key))
    assert one == other
    assert (one is not None) == counts
