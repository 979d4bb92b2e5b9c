"""Frames for filling in the middle, as a client without a gateway sends them. Part of the contract."""

from __future__ import annotations

from typing import Any

import pytest

from .contract import Server

IQUEST = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
CODEGEEX = ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>")
PREFIX, SUFFIX = "def mean(values):\n    ", "\n    return total / len(values)\n"


@pytest.fixture
def marks(server: Server) -> tuple[str, str, str]:
    return IQUEST if "iquest" in server.model else CODEGEEX


@pytest.fixture
def frame(server: Server, marks: tuple[str, str, str]) -> str:
    prefix, suffix, middle = marks
    if "iquest" in server.model:
        return f"{prefix}{PREFIX}{suffix}{SUFFIX}{middle}"
    head = "<|user|>\n###PATH:stats.py\n###LANGUAGE:Python\n###MODE:BLOCK\n"
    return f"{head}{suffix}{SUFFIX}{prefix}{PREFIX}{middle}<|assistant|>"


def test_marks_are_one_token_each(server: Server, frame: str, marks: tuple[str, str, str]) -> None:
    tokens = server.tokens(frame)
    for mark in marks:
        (number,) = server.tokens(mark)
        assert tokens.count(number) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_frame(server: Server, frame: str, marks: tuple[str, str, str], stream: bool) -> None:
    """With all that a client needs to get the middle alone: stop ids, stops, bad words, and marks that are shown."""
    fields: dict[str, Any] = {
        "max_tokens": 24,
        "stop_token_ids": [server.tokens(mark)[0] for mark in marks],
        "stop": ["\n\n\n\n", "<|endoftext|>"],
        "bad_words": ["<|file_sep|>"],
        "skip_special_tokens": False,
        "stream": stream,
    }
    answer = server.complete(frame, **fields, **({"stream_options": {"include_usage": True}} if stream else {}))
    bodies = answer.events if stream else [answer.json]
    choices = [choice for body in bodies for choice in body["choices"]]
    text = "".join(choice["text"] for choice in choices)
    assert not any(mark in text for mark in (*marks, "\n\n\n\n", "<|endoftext|>"))
    assert choices[-1]["finish_reason"] in ("stop", "length")
    added = server.engine.post("/tokenize", {"prompt": frame}).json["count"]
    assert bodies[-1]["usage"]["prompt_tokens"] == added


def test_a_stop_token_ends_it_and_is_not_shown(server: Server, frame: str) -> None:
    (letter,) = server.tokens("a")
    fields = {"max_tokens": 5, "allowed_token_ids": [letter]}
    choice = server.complete(frame, **fields, stop_token_ids=[letter]).json["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == ("", "stop", letter)
    kept = server.complete(frame, **fields, stop_token_ids=[letter], include_stop_str_in_output=True).json["choices"][0]
    assert kept["text"] == "a"


def test_a_stop_string_over_several_tokens(server: Server, frame: str) -> None:
    (letter,) = server.tokens("a")
    fields = {"max_tokens": 9, "allowed_token_ids": [letter]}
    choice = server.complete(frame, **fields, stop=["aaa"]).json["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == ("", "stop", "aaa")
    kept = server.complete(frame, **fields, stop=["aaa"], include_stop_str_in_output=True).json["choices"][0]
    assert kept["text"] == "aaa"


def test_suffix_itself_is_refused(server: Server) -> None:
    """vLLM has no frames of these models; the gateway makes them."""
    if server.behind is not None:
        server = server.behind
    server.complete("x", suffix="y").refused(400, "BadRequestError", "suffix")


def test_at_most_four_stop_strings(server: Server) -> None:
    assert server.complete("x", stop=["a", "b", "c", "d"], max_tokens=1).status == 200
    for route in (server.complete, server.chat):
        message = route("x", stop=["a", "b", "c", "d", "e"], max_tokens=1).refused(400, "Bad Request", "body.stop")
        assert "List should have at most 4 items after validation, not 5" in message


def test_at_most_1024_prompts(server: Server) -> None:
    message = server.complete(["a"] * 1025, max_tokens=1).refused(400, "BadRequestError", "prompt")
    assert message.startswith("prompt list length 1025 exceeds the maximum allowed count of 1024.")
