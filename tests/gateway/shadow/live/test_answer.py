from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.live.answer import Answer, answer_of
from tests.fakes.server import DONE, content_frame, unary, usage_frame


def test_a_whole_answer() -> None:
    assert answer_of(unary("def f(): ..."), stream=False) == Answer("def f(): ...", "stop")


def test_a_completion() -> None:
    data = json.dumps({"choices": [{"index": 0, "text": "    return 1", "finish_reason": "length"}]}).encode()
    assert answer_of(data, stream=False) == Answer("    return 1", "length")


def test_no_text_is_an_empty_answer() -> None:
    data = json.dumps({"choices": [{"index": 0, "message": {"content": None}, "finish_reason": "tool_calls"}]}).encode()
    assert answer_of(data, stream=False) == Answer("", "tool_calls")


@given(st.lists(st.text(), min_size=1))
def test_a_stream(texts: list[str]) -> None:
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    end = [b"data: " + json.dumps(last).encode() + b"\n\n", usage_frame(), DONE]
    data = b"".join([b": keep-alive\n\n", *map(content_frame, texts), *end])
    assert answer_of(data, stream=True) == Answer("".join(texts), "stop")


def test_of_several_choices_the_first() -> None:
    def event(index: int, text: str) -> bytes:
        choice = {"index": index, "delta": {"content": text}, "finish_reason": None}
        return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"

    data = event(1, "other") + event(0, "a") + event(1, "other") + event(0, "b")
    assert answer_of(data, stream=True) == Answer("ab", None)


@pytest.mark.parametrize(
    ("data", "stream"),
    [
        (b"", False),
        (b"", True),
        (b"no json", False),
        (b"[1]", False),
        (b'{"choices": []}', False),
        (b'{"choices": 3}', False),
        (b"data: no json\n\n", True),
        (b"data: 3\n\n", True),
        (b'data: {"error": {"message": "broke off"}}\n\n', True),
        (b"[" * 100_000, False),
    ],
)
def test_what_is_no_answer(data: bytes, stream: bool) -> None:
    assert answer_of(data, stream=stream) is None


@given(st.binary(), st.booleans())
def test_nothing_raises(data: bytes, stream: bool) -> None:
    answer_of(data, stream=stream)
