"""What a vLLM 0.32 server streams of a chat.

A chunk may carry several tokens: a server that is ahead of its network puts them together. Part of the contract (see
test_contract.py)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .contract import Server, direct_only

GREEDY: dict[str, Any] = {"temperature": 0, "seed": 1, "ignore_eos": True}


def text_of(events: list[Any], index: int = 0) -> str:
    choices = [choice for event in events for choice in event["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


class TestChatStream:
    def test_framing(self, server: Server) -> None:
        answer = server.chat(max_tokens=3, stream=True, stream_options={"include_usage": True}, ignore_eos=True)
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

    def test_no_usage_unless_asked(self, server: Server) -> None:
        events = server.chat(max_tokens=3, stream=True, ignore_eos=True).events
        assert all("usage" not in event for event in events)
        assert events[-1]["choices"][0]["finish_reason"] == "length"

    @direct_only("the gateway asks for usage, so that there the fingerprint comes with that")
    def test_without_usage_the_last_chunk_has_the_fingerprint(self, server: Server) -> None:
        *events, last = server.chat(max_tokens=3, stream=True, ignore_eos=True).events
        assert "system_fingerprint" in last
        assert all("system_fingerprint" not in event for event in events)

    def test_continuous_usage(self, server: Server) -> None:
        options = {"include_usage": True, "continuous_usage_stats": True}
        events = server.chat(max_tokens=3, stream=True, stream_options=options, ignore_eos=True).events
        counts = [event["usage"]["completion_tokens"] for event in events]
        assert counts[0] == 0
        assert counts == sorted(counts)
        assert counts[-2:] == [3, 3]
        keys = ["prompt_tokens", "total_tokens", "completion_tokens", "completion_tokens_details"]
        assert list(events[0]["usage"]) == keys

    def test_same_text_as_whole(self, server: Server) -> None:
        whole = server.chat(max_tokens=40, **GREEDY).json["choices"][0]["message"]["content"]
        assert text_of(server.chat(max_tokens=40, **GREEDY, stream=True).events) == whole

    def test_stop_string(self, server: Server) -> None:
        whole = server.chat(max_tokens=16, **GREEDY).json["choices"][0]["message"]["content"]
        stop = whole[len(whole) // 2 :][:3]
        events = server.chat(max_tokens=16, **GREEDY, stream=True, stop=stop).events
        assert text_of(events) == whole[: whole.index(stop)]
        assert events[-1]["choices"][0]["stop_reason"] == stop

    def test_several_choices(self, server: Server) -> None:
        events = server.chat(max_tokens=3, n=2, stream=True, ignore_eos=True).events
        ended = [event["choices"][0]["index"] for event in events if event["choices"][0]["finish_reason"]]
        assert sorted(ended) == [0, 1]
        assert [event["choices"][0]["delta"].get("role") for event in events[:2]] == ["assistant", "assistant"]

    def test_logprobs(self, server: Server) -> None:
        events = server.chat(max_tokens=3, stream=True, logprobs=True, top_logprobs=1, ignore_eos=True).events
        entries = [entry for event in events[1:] for entry in event["choices"][0]["logprobs"]["content"]]
        assert len(entries) == 3
        assert all(list(entry) == ["token", "logprob", "bytes", "top_logprobs"] for entry in entries)
        assert all(len(entry["top_logprobs"]) in (1, 2) for entry in entries)

    def test_token_ids(self, server: Server) -> None:
        first, *events = server.chat("hi", max_tokens=3, stream=True, return_token_ids=True, ignore_eos=True).events
        messages = [{"role": "user", "content": "hi"}]
        prompt = server.engine.post("/tokenize", {"messages": messages}).json["tokens"]
        assert first["prompt_token_ids"] == prompt
        assert len([token for event in events for token in event["choices"][0]["token_ids"]]) == 3


LATE = [
    ({"stop_token_ids": [4_000_000]}, "stop_token_ids"),
    ({"logit_bias": {"4000000": 1}}, "logit_bias"),
    ({"allowed_token_ids": [4_000_000]}, "allowed_token_ids"),
]


class TestErrorsInStreams:
    """What only the engine refuses is told when the stream has begun: an event, then the end as always."""

    @pytest.mark.parametrize(("fields", "param"), LATE)
    @pytest.mark.parametrize("route", ["chat", "complete"])
    def test_an_error_is_an_event(self, server: Server, route: str, fields: dict[str, Any], param: str) -> None:
        (event,) = getattr(server, route)(max_tokens=2, stream=True, **fields).events
        assert list(event) == ["error"]
        error = event["error"]
        assert list(error) == ["message", "type", "param", "code"]
        assert (error["type"], error["param"], error["code"]) == ("BadRequestError", param, 400)
        whole = getattr(server, route)(max_tokens=2, **fields)
        assert whole.refused(400, "BadRequestError", param) == error["message"]

    def test_its_layout_is_another_one(self, server: Server) -> None:
        """With a space after colons and commas, unlike all other events: who searches in bytes has to know both."""
        body = server.complete(max_tokens=2, stream=True, stop_token_ids=[4_000_000]).body
        assert body.startswith(b'data: {"error": {"message": "')

    def test_too_many_logprobs(self, server: Server) -> None:
        (event,) = server.complete(max_tokens=2, stream=True, logprobs=21).events
        assert event["error"]["param"] == "logprobs"
        (event,) = server.chat(max_tokens=2, stream=True, logprobs=True, top_logprobs=21).events
        assert event["error"]["param"] == "logprobs"

    def test_token_ids_out_of_vocabulary(self, server: Server) -> None:
        (event,) = server.complete([4_000_000], max_tokens=2, stream=True).events
        assert event["error"]["message"] == "Token id 4000000 is out of vocabulary"

    def test_what_the_front_end_refuses_is_no_stream(self, server: Server) -> None:
        server.chat(stream=True, temperature=-3).refused(400, "BadRequestError", "temperature")
        server.complete(stream=True, n=0).refused(400, "BadRequestError", None)
        server.complete(stream=True, stop="").refused(400, "BadRequestError", None)


def test_every_event_is_json_on_one_line(server: Server) -> None:
    body = server.chat(max_tokens=20, stream=True, **GREEDY).body
    lines = [line for line in body.split(b"\n") if line]
    assert all(line.startswith(b"data: ") for line in lines)
    assert lines[-1] == b"data: [DONE]"
    assert all(isinstance(json.loads(line[6:]), dict) for line in lines[:-1])
