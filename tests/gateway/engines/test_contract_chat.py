"""What a vLLM 0.32 server answers to whole chat requests.

Part of the contract (see test_contract.py)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .contract import Server, direct_only

CHAT_KEYS = (
    "id object created model choices service_tier system_fingerprint usage prompt_logprobs "
    "prompt_token_ids prompt_text kv_transfer_params ec_transfer_params metrics"
)
MESSAGE_KEYS = "role content refusal annotations audio function_call reasoning"
CHOICE_KEYS = "index message logprobs finish_reason stop_reason token_ids routed_experts"
USAGE_KEYS = "prompt_tokens total_tokens completion_tokens prompt_tokens_details completion_tokens_details"
GREEDY: dict[str, Any] = {"temperature": 0, "seed": 1, "ignore_eos": True}


class TestChat:
    def test_shape(self, server: Server) -> None:
        answer = server.chat(max_tokens=5)
        body = answer.json
        assert answer.status == 200
        assert " ".join(body) == CHAT_KEYS
        assert " ".join(body["choices"][0]) == CHOICE_KEYS
        assert " ".join(body["choices"][0]["message"]) == MESSAGE_KEYS
        assert " ".join(body["usage"]) == USAGE_KEYS
        assert body["object"] == "chat.completion"
        assert body["model"] == server.model
        assert re.match(r"chatcmpl-\S+", body["id"])

    def test_length_ends_it(self, server: Server) -> None:
        body = server.chat(max_tokens=5, ignore_eos=True).json
        usage = body["usage"]
        assert body["choices"][0]["finish_reason"] == "length"
        assert usage["completion_tokens"] == 5
        assert usage["total_tokens"] == usage["prompt_tokens"] + 5

    def test_prompt_tokens_are_those_of_tokenize(self, server: Server) -> None:
        messages = [{"role": "user", "content": "hi there"}]
        count = server.engine.post("/tokenize", {"model": server.model, "messages": messages}).json["count"]
        assert server.chat("hi there", max_tokens=1).json["usage"]["prompt_tokens"] == count

    def test_max_completion_tokens_wins(self, server: Server) -> None:
        usage = server.chat(max_tokens=50, max_completion_tokens=3, ignore_eos=True).json["usage"]
        assert usage["completion_tokens"] == 3

    def test_several_choices(self, server: Server) -> None:
        body = server.chat(max_tokens=4, n=3, ignore_eos=True).json
        assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
        assert body["usage"]["completion_tokens"] == 12

    def test_same_seed_same_answer(self, server: Server) -> None:
        first, second = (server.chat(max_tokens=12, **GREEDY).json["choices"] for _ in range(2))
        assert first == second

    def test_stop_string_is_cut_off_and_named(self, server: Server) -> None:
        whole = server.chat(max_tokens=16, **GREEDY).json["choices"][0]["message"]["content"]
        stop = whole[len(whole) // 2 :][:3]
        choice = server.chat(max_tokens=16, **GREEDY, stop=[stop]).json["choices"][0]
        assert choice["message"]["content"] == whole[: whole.index(stop)]
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", stop)

    def test_stop_token_ends_it(self, server: Server) -> None:
        fields = {"max_tokens": 8, "return_token_ids": True, **GREEDY}
        ids = server.chat(**fields).json["choices"][0]["token_ids"]
        choice = server.chat(**fields, stop_token_ids=[ids[3]]).json["choices"][0]
        assert choice["token_ids"] == ids[: ids.index(ids[3]) + 1]
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", ids[3])

    def test_ignore_eos_goes_on(self, server: Server) -> None:
        assert server.chat(max_tokens=400, ignore_eos=True).json["usage"]["completion_tokens"] == 400

    def test_content_parts(self, server: Server) -> None:
        answer = server.converse([{"role": "user", "content": [{"type": "text", "text": "hello"}]}], max_tokens=1)
        parts = answer.json["usage"]["prompt_tokens"]
        assert parts == server.chat("hello", max_tokens=1).json["usage"]["prompt_tokens"]

    def test_unknown_fields_are_ignored(self, server: Server) -> None:
        assert server.chat(max_tokens=2, ignore_eos=True, whatever=[1]).json["usage"]["completion_tokens"] == 2

    @direct_only("the gateway refuses repeated keys")
    def test_of_duplicates_the_last_counts(self, server: Server) -> None:
        raw = b'{"prompt":"hi","max_tokens":9,"ignore_eos":true,"max_tokens":2}'
        assert server.post("/v1/completions", raw).json["usage"]["completion_tokens"] == 2

    def test_prompt_details_with_the_flag(self, guarded: Server) -> None:
        text = "the same prompt again and again " * 80  # more than a block, of which the CPU build has larger ones
        guarded.chat(text, max_tokens=1)
        details = guarded.chat(text, max_tokens=1).json["usage"]["prompt_tokens_details"]
        assert list(details) == ["cached_tokens", "created_cache_tokens", "multimodal_tokens"]
        assert details["cached_tokens"] > 0


class TestLogprobs:
    def test_entries(self, server: Server) -> None:
        logprobs = server.chat(max_tokens=3, logprobs=True, top_logprobs=2, ignore_eos=True).json["choices"][0][
            "logprobs"
        ]
        assert list(logprobs) == ["content"]
        assert len(logprobs["content"]) == 3
        for entry in logprobs["content"]:
            assert list(entry) == ["token", "logprob", "bytes", "top_logprobs"]
            assert entry["logprob"] <= 0
            assert len(entry["top_logprobs"]) in (2, 3)  # the token's own comes on top if it is not among them
            assert all(list(top) == ["token", "logprob", "bytes"] for top in entry["top_logprobs"])
            if "\ufffd" not in entry["token"]:
                assert bytes(entry["bytes"]).decode() == entry["token"]

    def test_none_on_top_unless_asked_for(self, server: Server) -> None:
        content = server.chat(max_tokens=2, logprobs=True, ignore_eos=True).json["choices"][0]["logprobs"]["content"]
        assert [entry["top_logprobs"] for entry in content] == [[], []]

    def test_of_the_prompt(self, server: Server) -> None:
        body = server.chat("hello", max_tokens=1, prompt_logprobs=1).json
        first, *others = body["prompt_logprobs"]
        assert first is None
        assert len(others) == body["usage"]["prompt_tokens"] - 1
        for known in others:
            assert all(number.isdigit() for number in known)
            assert all(list(entry) == ["logprob", "rank", "decoded_token"] for entry in known.values())


class TestFormats:
    @pytest.fixture
    def soon_over(self, server: Server) -> dict[str, Any]:
        return {"logit_bias": server.closing_bias(), **GREEDY, "ignore_eos": False}

    def test_json_object(self, server: Server, soon_over: dict[str, Any]) -> None:
        form = {"type": "json_object"}
        choice = server.chat("JSON, please", response_format=form, max_tokens=400, **soon_over).json["choices"][0]
        assert choice["finish_reason"] == "stop"
        assert isinstance(json.loads(choice["message"]["content"]), dict)

    @pytest.mark.parametrize("stream", [False, True])
    def test_json_schema(self, server: Server, soon_over: dict[str, Any], stream: bool) -> None:
        schema = {
            "type": "object",
            "properties": {"a": {"enum": ["x"]}},
            "required": ["a"],
            "additionalProperties": False,
        }
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
        fields = {"response_format": form, "max_tokens": 400, "stream": stream, **soon_over}
        answer = server.chat("JSON, please", **fields)
        if stream:
            text = "".join(event["choices"][0]["delta"].get("content") or "" for event in answer.events)
        else:
            text = answer.json["choices"][0]["message"]["content"]
        assert json.loads(text) == {"a": "x"}
