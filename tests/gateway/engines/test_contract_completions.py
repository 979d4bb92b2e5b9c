"""What a vLLM 0.32 server answers to /v1/completions, whole and streamed. Part of the contract (test_contract.py)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .contract import Server

KEYS = (
    "id object created model choices service_tier system_fingerprint usage kv_transfer_params "
    "ec_transfer_params metrics"
)
CHOICE_KEYS = "index text logprobs finish_reason stop_reason token_ids prompt_logprobs prompt_token_ids routed_experts"
USAGE_KEYS = "prompt_tokens total_tokens completion_tokens prompt_tokens_details completion_tokens_details"
STREAM_CHOICE_KEYS = ["index", "text", "logprobs", "finish_reason", "stop_reason", "prompt_token_ids", "token_ids"]
LOGPROB_KEYS = ["text_offset", "token_logprobs", "tokens", "top_logprobs"]


class TestWhole:
    def test_shape(self, server: Server) -> None:
        body = server.complete(max_tokens=4).json
        assert " ".join(body) == KEYS
        assert " ".join(body["choices"][0]) == CHOICE_KEYS
        assert " ".join(body["usage"]) == USAGE_KEYS
        assert body["object"] == "text_completion"
        assert re.match(r"cmpl-\S+", body["id"])

    def test_sixteen_tokens_unless_told(self, server: Server) -> None:
        assert server.complete(ignore_eos=True).json["usage"]["completion_tokens"] == 16
        assert server.complete(ignore_eos=True, max_tokens=None).json["usage"]["completion_tokens"] == 16

    def test_logprobs(self, server: Server) -> None:
        choice = server.complete(max_tokens=4, logprobs=2, ignore_eos=True).json["choices"][0]
        logprobs = choice["logprobs"]
        assert list(logprobs) == LOGPROB_KEYS
        assert {len(values) for values in logprobs.values()} == {4}
        assert logprobs["text_offset"][0] == 0
        if "\ufffd" not in "".join(logprobs["tokens"]) + choice["text"]:
            assert "".join(logprobs["tokens"]) == choice["text"]

    def test_echo(self, server: Server) -> None:
        text = server.complete("def f(x):", max_tokens=6, echo=True, ignore_eos=True).json["choices"][0]["text"]
        assert text.startswith("def f(x):")
        assert len(text) > len("def f(x):")

    def test_echo_alone(self, server: Server) -> None:
        body = server.complete("def f(x):", max_tokens=0, echo=True, logprobs=1).json
        choice = body["choices"][0]
        assert choice["text"] == "def f(x):"
        assert choice["logprobs"]["token_logprobs"][0] is None
        assert choice["logprobs"]["top_logprobs"][0] is None
        assert "".join(choice["logprobs"]["tokens"]) == "def f(x):"
        assert len(choice["prompt_logprobs"]) == body["usage"]["prompt_tokens"]
        assert body["usage"]["completion_tokens"] == 1  # it is generated, and not shown

    def test_list_of_prompts(self, server: Server) -> None:
        body = server.complete(["one", "two three"], max_tokens=2, n=2, ignore_eos=True).json
        assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
        assert body["usage"]["completion_tokens"] == 8

    def test_token_ids(self, server: Server) -> None:
        tokens = server.tokens("def f(x):")
        body = server.complete(tokens, max_tokens=2).json
        assert body["usage"]["prompt_tokens"] == len(tokens)
        lists = server.complete([tokens, tokens], max_tokens=2).json
        assert lists["usage"]["prompt_tokens"] == 2 * len(tokens)

    def test_returned_token_ids(self, server: Server) -> None:
        choice = server.complete("def f(x):", max_tokens=3, return_token_ids=True, ignore_eos=True).json["choices"][0]
        assert choice["prompt_token_ids"] == server.engine.post("/tokenize", {"prompt": "def f(x):"}).json["tokens"]
        assert len(choice["token_ids"]) == 3

    def test_best_of_is_ignored(self, server: Server) -> None:
        body = server.complete(max_tokens=2, best_of=3, ignore_eos=True).json
        assert len(body["choices"]) == 1
        assert body["usage"]["completion_tokens"] == 2


class TestStreamed:
    def test_shape(self, server: Server) -> None:
        options = {"include_usage": True}
        fields: dict[str, Any] = {"max_tokens": 3, "stream": True, "stream_options": options, "ignore_eos": True}
        *events, usage = server.complete(**fields).events
        assert all(list(event) == ["id", "object", "created", "model", "choices"] for event in events)
        assert all(list(event["choices"][0]) == STREAM_CHOICE_KEYS for event in events)
        assert [event["choices"][0]["finish_reason"] for event in events[:-1]] == [None] * (len(events) - 1)
        assert events[-1]["choices"][0]["finish_reason"] == "length"
        assert list(usage) == ["id", "object", "created", "model", "choices", "usage", "system_fingerprint"]
        assert list(usage["usage"]) == ["prompt_tokens", "total_tokens", "completion_tokens"]
        assert usage["usage"]["completion_tokens"] == 3

    def test_continuous_usage(self, server: Server) -> None:
        options = {"include_usage": True, "continuous_usage_stats": True}
        events = server.complete(max_tokens=3, stream=True, stream_options=options, ignore_eos=True).events
        assert all(list(event["usage"]) == ["prompt_tokens", "total_tokens", "completion_tokens"] for event in events)
        assert [event["usage"]["completion_tokens"] for event in events][-2:] == [3, 3]

    def test_same_text_as_whole(self, server: Server) -> None:
        fields: dict[str, Any] = {"max_tokens": 30, "seed": 3, "temperature": 0, "ignore_eos": True}
        whole = server.complete(**fields).json["choices"][0]["text"]
        events = server.complete(**fields, stream=True).events
        assert "".join(event["choices"][0]["text"] for event in events) == whole

    def test_logprobs(self, server: Server) -> None:
        events = server.complete(max_tokens=4, logprobs=2, stream=True, ignore_eos=True).events
        found = [event["choices"][0]["logprobs"] for event in events]
        assert all(list(logprobs) == LOGPROB_KEYS for logprobs in found)
        tokens = [token for logprobs in found for token in logprobs["tokens"]]
        offsets = [offset for logprobs in found for offset in logprobs["text_offset"]]
        assert len(tokens) == 4
        assert offsets == [sum(map(len, tokens[:place])) for place in range(4)]

    def test_echo(self, server: Server) -> None:
        first, *others = server.complete("def f(x):", max_tokens=3, echo=True, stream=True, ignore_eos=True).events
        choice = first["choices"][0]
        assert choice["text"].startswith("def f(x):")
        assert choice["prompt_token_ids"] == server.engine.post("/tokenize", {"prompt": "def f(x):"}).json["tokens"]
        assert all(event["choices"][0]["prompt_token_ids"] is None for event in others)

    def test_echo_alone_with_logprobs(self, server: Server) -> None:
        (event,) = server.complete("def f(x):", max_tokens=0, echo=True, logprobs=1, stream=True).events
        choice = event["choices"][0]
        assert choice["text"] == "def f(x):"
        assert choice["finish_reason"] == "length"
        assert choice["logprobs"]["token_logprobs"][0] is None
        assert "".join(choice["logprobs"]["tokens"]) == "def f(x):"

    def test_several_prompts_and_choices(self, server: Server) -> None:
        fields: dict[str, Any] = {"max_tokens": 3, "n": 2, "stream": True, "ignore_eos": True}
        events = server.complete(["one", "two three"], **fields, stream_options={"include_usage": True}).events
        *chunks, usage = events
        ended = [event["choices"][0]["index"] for event in chunks if event["choices"][0]["finish_reason"]]
        assert sorted(ended) == [0, 1, 2, 3]
        assert usage["usage"]["completion_tokens"] == 12

    def test_token_ids(self, server: Server) -> None:
        events = server.complete("def f(x):", max_tokens=3, stream=True, return_token_ids=True, ignore_eos=True).events
        choices = [event["choices"][0] for event in events]
        assert choices[0]["prompt_token_ids"] == server.engine.post("/tokenize", {"prompt": "def f(x):"}).json["tokens"]
        assert len([token for choice in choices for token in choice["token_ids"]]) == 3


class TestWhatMayBeGenerated:
    """`allowed_token_ids` makes it certain, even with random weights."""

    @pytest.fixture
    def letters(self, server: Server) -> dict[str, int]:
        return {letter: server.tokens(letter)[0] for letter in "ab"}

    def test_nothing_but_what_is_allowed(self, server: Server, letters: dict[str, int]) -> None:
        text = server.complete("x", max_tokens=6, allowed_token_ids=list(letters.values())).json["choices"][0]["text"]
        assert len(text) == 6
        assert set(text) <= {"a", "b"}

    def test_no_bad_word(self, server: Server, letters: dict[str, int]) -> None:
        fields = {"allowed_token_ids": list(letters.values()), "bad_words": ["a"]}
        assert server.complete("x", max_tokens=6, **fields).json["choices"][0]["text"] == "bbbbbb"
        assert server.chat("x", max_tokens=6, **fields).json["choices"][0]["message"]["content"] == "bbbbbb"

    @pytest.mark.parametrize("stream", [False, True])
    def test_special_tokens_are_shown_if_asked_for(self, server: Server, stream: bool) -> None:
        mark = "<|fim_middle|>" if "iquest" in server.model else "<|code_middle|>"
        (token,) = server.tokens(mark)
        for skip, text in ((None, ""), (True, ""), (False, mark * 3)):
            fields = {"allowed_token_ids": [token], "max_tokens": 3, "stream": stream}
            answer = server.complete("x", **fields, **({} if skip is None else {"skip_special_tokens": skip}))
            choices = [event["choices"][0] for event in answer.events] if stream else answer.json["choices"]
            assert "".join(choice["text"] for choice in choices) == text
