"""What a vLLM 0.32 server streams, and its answers to /v1/completions.

Part of the contract: over HTTP alone, against the simulated server or a real one (see conftest)."""

from __future__ import annotations

import re
from typing import Any

COMPLETION_KEYS = (
    "id object created model choices service_tier system_fingerprint usage kv_transfer_params "
    "ec_transfer_params metrics"
)
COMPLETION_CHOICE_KEYS = (
    "index text logprobs finish_reason stop_reason token_ids prompt_logprobs prompt_token_ids routed_experts"
)
USAGE_KEYS = "prompt_tokens total_tokens completion_tokens prompt_tokens_details completion_tokens_details"


class TestChatStream:
    def test_framing(self, server: Any) -> None:
        answer = server.chat(max_tokens=3, stream=True, stream_options={"include_usage": True})
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert "content-length" not in answer.headers
        first, *middle, last, usage = answer.events
        assert list(first) == ["id", "object", "created", "model", "choices", "prompt_token_ids", "prompt_text"]
        start = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        assert first["choices"] == [start]
        for event in middle:
            assert list(event) == ["id", "object", "created", "model", "choices"]
            assert list(event["choices"][0]) == ["index", "delta", "logprobs", "finish_reason", "token_ids"]
        keys = ["index", "delta", "logprobs", "finish_reason", "stop_reason", "token_ids"]
        assert list(last["choices"][0]) == keys
        assert last["choices"][0]["finish_reason"] == "length"
        assert list(usage) == ["id", "object", "created", "model", "choices", "usage", "system_fingerprint"]
        assert usage["choices"] == []
        assert list(usage["usage"]) == ["prompt_tokens", "total_tokens", "completion_tokens"]
        assert usage["usage"]["completion_tokens"] == 3

    def test_no_usage_unless_asked(self, server: Any) -> None:
        events = server.chat(max_tokens=3, stream=True).events
        assert all("usage" not in event for event in events)
        assert events[-1]["choices"][0]["finish_reason"] == "length"

    def test_continuous_usage(self, server: Any) -> None:
        options = {"include_usage": True, "continuous_usage_stats": True}
        events = server.chat(max_tokens=3, stream=True, stream_options=options).events
        counts = [event["usage"]["completion_tokens"] for event in events]
        assert counts[0] == 0
        assert counts == sorted(counts)
        assert counts[-2:] == [3, 3]
        keys = ["prompt_tokens", "total_tokens", "completion_tokens", "completion_tokens_details"]
        assert list(events[0]["usage"]) == keys

    def test_same_text_as_whole(self, server: Any) -> None:
        fields = {"max_tokens": 40, "seed": 3, "temperature": 0}
        whole = server.chat(**fields).json["choices"][0]["message"]["content"]
        events = server.chat(**fields, stream=True).events
        assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == whole

    def test_stop_string_in_a_stream(self, server: Any) -> None:
        fields = {"max_tokens": 16, "seed": 1, "temperature": 0}
        whole = server.chat(**fields).json["choices"][0]["message"]["content"]
        stop = whole[len(whole) // 2 :][:3]
        events = server.chat(**fields, stream=True, stop=stop).events
        text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
        assert text == whole[: whole.index(stop)]
        assert events[-1]["choices"][0]["stop_reason"] == stop

    def test_several_choices(self, server: Any) -> None:
        events = server.chat(max_tokens=3, n=2, stream=True).events
        ended = [event["choices"][0]["index"] for event in events if event["choices"][0]["finish_reason"]]
        assert sorted(ended) == [0, 1]
        assert [event["choices"][0]["delta"].get("role") for event in events[:2]] == ["assistant", "assistant"]

    def test_logprobs(self, server: Any) -> None:
        events = server.chat(max_tokens=3, stream=True, logprobs=True).events
        entries = [entry for event in events[1:] for entry in event["choices"][0]["logprobs"]["content"]]
        assert len(entries) == 3
        assert all(entry["top_logprobs"] == [] for entry in entries)


class TestCompletions:
    def test_shape(self, server: Any) -> None:
        body = server.complete(max_tokens=4).json
        assert " ".join(body) == COMPLETION_KEYS
        assert " ".join(body["choices"][0]) == COMPLETION_CHOICE_KEYS
        assert " ".join(body["usage"]) == USAGE_KEYS
        assert body["object"] == "text_completion"
        assert re.fullmatch(r"cmpl-[0-9a-f]{16}", body["id"])

    def test_sixteen_tokens_unless_told(self, server: Any) -> None:
        assert server.complete(ignore_eos=True).json["usage"]["completion_tokens"] == 16

    def test_logprobs(self, server: Any) -> None:
        choice = server.complete(max_tokens=4, logprobs=2).json["choices"][0]
        logprobs = choice["logprobs"]
        assert list(logprobs) == ["text_offset", "token_logprobs", "tokens", "top_logprobs"]
        assert {len(values) for values in logprobs.values()} == {4}
        assert logprobs["text_offset"][0] == 0
        assert "".join(logprobs["tokens"]) == choice["text"]

    def test_echo(self, server: Any) -> None:
        text = server.complete("def f(x):", max_tokens=2, echo=True).json["choices"][0]["text"]
        assert text.startswith("def f(x):")
        assert len(text) > len("def f(x):")

    def test_echo_alone(self, server: Any) -> None:
        choice = server.complete("def f(x):", max_tokens=0, echo=True, logprobs=1).json["choices"][0]
        assert choice["text"] == "def f(x):"
        assert choice["logprobs"]["token_logprobs"][0] is None

    def test_list_of_prompts(self, server: Any) -> None:
        body = server.complete(["one", "two three"], max_tokens=2, n=2).json
        assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
        assert body["usage"]["completion_tokens"] == 8

    def test_token_ids(self, server: Any) -> None:
        tokens = server.post("/tokenize", {"prompt": "def f(x):"}).json["tokens"]
        body = server.complete(tokens, max_tokens=2).json
        assert body["usage"]["prompt_tokens"] == len(tokens)
        lists = server.complete([tokens, tokens], max_tokens=2).json
        assert lists["usage"]["prompt_tokens"] == 2 * len(tokens)

    def test_stream(self, server: Any) -> None:
        options = {"include_usage": True}
        *events, last, usage = server.complete(max_tokens=3, stream=True, stream_options=options).events
        keys = ["index", "text", "logprobs", "finish_reason", "stop_reason", "prompt_token_ids", "token_ids"]
        assert all(list(event["choices"][0]) == keys for event in [*events, last])
        assert last["choices"][0]["finish_reason"] == "length"
        assert usage["usage"]["completion_tokens"] == 3
