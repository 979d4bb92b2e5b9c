"""What a vLLM 0.32 server answers on its plain routes, and to whole chat requests.

Part of the contract: over HTTP alone, against the simulated server or a real one (see conftest)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

CHAT_KEYS = (
    "id object created model choices service_tier system_fingerprint usage prompt_logprobs "
    "prompt_token_ids prompt_text kv_transfer_params ec_transfer_params metrics"
)
MESSAGE_KEYS = "role content refusal annotations audio function_call reasoning"
CHOICE_KEYS = "index message logprobs finish_reason stop_reason token_ids routed_experts"
USAGE_KEYS = "prompt_tokens total_tokens completion_tokens prompt_tokens_details completion_tokens_details"


class TestPlainRoutes:
    @pytest.mark.parametrize("path", ["/health", "/ping"])
    def test_health_is_empty(self, server: Any, path: str) -> None:
        answer = server.get(path)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == "0"

    def test_version_and_load(self, server: Any) -> None:
        assert re.fullmatch(rb'\{"version":"0\.\d+\.\d+[^"]*"\}', server.get("/version").body)
        assert server.get("/load").body == b'{"server_load":0}'

    def test_models(self, server: Any) -> None:
        body = server.get("/v1/models").json
        assert list(body) == ["object", "data"]
        keys = ["id", "object", "created", "owned_by", "root", "parent", "max_model_len", "permission"]
        assert [list(model) for model in body["data"]] == [keys]
        assert body["data"][0]["max_model_len"] > 0

    def test_unknown_route_and_method(self, server: Any) -> None:
        missing = server.post("/v1/embeddings", {"model": server.model, "input": "x"})
        assert (missing.status, missing.body) == (404, b'{"detail":"Not Found"}')
        wrong = server.get("/v1/chat/completions")
        assert (wrong.status, wrong.body) == (405, b'{"detail":"Method Not Allowed"}')
        assert wrong.headers["allow"] == "POST"

    def test_every_answer_varies_by_origin(self, server: Any) -> None:
        assert {server.get(path).headers["vary"] for path in ("/health", "/v1/models", "/version")} == {"Origin"}


class TestTokenize:
    def test_prompt(self, server: Any) -> None:
        answer = server.post("/tokenize", {"model": server.model, "prompt": "def f(x):\n    return x"})
        body = answer.json
        assert list(body) == ["count", "max_model_len", "tokens", "token_strs"]
        assert body["count"] == len(body["tokens"]) > 0
        assert body["token_strs"] is None

    def test_detokenize_gives_the_text_back(self, server: Any) -> None:
        text = "naïve “Größe” → слово 🙂\n"
        tokens = server.post("/tokenize", {"prompt": text, "add_special_tokens": False}).json["tokens"]
        assert server.post("/detokenize", {"model": server.model, "tokens": tokens}).json == {"prompt": text}

    def test_chat_counts_what_usage_says(self, server: Any) -> None:
        messages = [{"role": "user", "content": "hi there"}]
        count = server.post("/tokenize", {"model": server.model, "messages": messages}).json["count"]
        answer = server.chat("hi there", max_tokens=1).json
        assert answer["usage"]["prompt_tokens"] == count

    def test_token_strings(self, server: Any) -> None:
        body = server.post("/tokenize", {"prompt": "one two", "return_token_strs": True}).json
        assert len(body["token_strs"]) == body["count"]


class TestChat:
    def test_shape(self, server: Any) -> None:
        answer = server.chat(max_tokens=5)
        body = answer.json
        assert answer.status == 200
        assert " ".join(body) == CHAT_KEYS
        assert " ".join(body["choices"][0]) == CHOICE_KEYS
        assert " ".join(body["choices"][0]["message"]) == MESSAGE_KEYS
        assert " ".join(body["usage"]) == USAGE_KEYS
        assert body["object"] == "chat.completion"
        assert body["model"] == server.model
        assert re.fullmatch(r"chatcmpl-[0-9a-f]{16}", body["id"])

    def test_length_ends_it(self, server: Any) -> None:
        body = server.chat(max_tokens=5).json
        usage = body["usage"]
        assert body["choices"][0]["finish_reason"] == "length"
        assert usage["completion_tokens"] == 5
        assert usage["total_tokens"] == usage["prompt_tokens"] + 5

    def test_max_completion_tokens_wins(self, server: Any) -> None:
        assert server.chat(max_tokens=50, max_completion_tokens=3).json["usage"]["completion_tokens"] == 3

    def test_several_choices(self, server: Any) -> None:
        body = server.chat(max_tokens=4, n=3).json
        assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
        assert body["usage"]["completion_tokens"] == 12

    def test_same_seed_same_answer(self, server: Any) -> None:
        first, second = (server.chat(max_tokens=12, seed=7, temperature=0).json["choices"] for _ in range(2))
        assert first == second

    def test_stop_string_is_cut_off_and_named(self, server: Any) -> None:
        whole = server.chat(max_tokens=16, seed=1, temperature=0).json["choices"][0]["message"]["content"]
        stop = whole[len(whole) // 2 :][:3]
        choice = server.chat(max_tokens=16, seed=1, temperature=0, stop=[stop]).json["choices"][0]
        assert choice["message"]["content"] == whole[: whole.index(stop)]
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", stop)

    def test_stop_token_ends_it(self, server: Any) -> None:
        fields = {"max_tokens": 8, "seed": 1, "temperature": 0, "return_token_ids": True}
        ids = server.chat(**fields).json["choices"][0]["token_ids"]
        choice = server.chat(**fields, stop_token_ids=[ids[3]]).json["choices"][0]
        assert choice["token_ids"] == ids[: ids.index(ids[3]) + 1]
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", ids[3])

    def test_ignore_eos_goes_on(self, server: Any) -> None:
        assert server.chat(max_tokens=600, ignore_eos=True).json["usage"]["completion_tokens"] == 600

    def test_content_parts(self, server: Any) -> None:
        messages = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
        body = {"model": server.model, "messages": messages, "max_tokens": 1}
        parts = server.post("/v1/chat/completions", body).json["usage"]["prompt_tokens"]
        assert parts == server.chat("hello", max_tokens=1).json["usage"]["prompt_tokens"]

    def test_unknown_fields_are_ignored_and_of_duplicates_the_last_counts(self, server: Any) -> None:
        messages = '[{"role":"user","content":"hi"}]'
        raw = f'{{"messages":{messages},"max_tokens":9,"whatever":[1],"max_tokens":2}}'.encode()
        assert server.post("/v1/chat/completions", raw).json["usage"]["completion_tokens"] == 2

    def test_logprobs(self, server: Any) -> None:
        logprobs = server.chat(max_tokens=3, logprobs=True, top_logprobs=2).json["choices"][0]["logprobs"]
        assert list(logprobs) == ["content"]
        assert len(logprobs["content"]) == 3
        for entry in logprobs["content"]:
            assert list(entry) == ["token", "logprob", "bytes", "top_logprobs"]
            assert entry["logprob"] <= 0
            assert len(entry["top_logprobs"]) == 2
            assert bytes(entry["bytes"]).decode() == entry["token"]

    def test_json_object(self, tools_server: Any) -> None:
        choice = tools_server.chat("JSON, please", response_format={"type": "json_object"}, max_tokens=400).json[
            "choices"
        ][0]
        if choice["finish_reason"] == "stop":
            assert isinstance(json.loads(choice["message"]["content"]), dict)

    def test_json_schema(self, tools_server: Any) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
        choice = tools_server.chat("JSON, please", response_format=form, max_tokens=400).json["choices"][0]
        if choice["finish_reason"] == "stop":
            assert isinstance(json.loads(choice["message"]["content"])["a"], int)


class TestRequestIds:
    def test_header_wins_over_body(self, server: Any) -> None:
        messages = [{"role": "user", "content": "x"}]
        body = {"messages": messages, "max_tokens": 1, "request_id": "body-rid-9"}
        assert server.post("/v1/chat/completions", body).json["id"] == "chatcmpl-body-rid-9"
        named = server.post("/v1/chat/completions", body, x_request_id="gw-abc-123")
        assert named.json["id"] == "chatcmpl-gw-abc-123"

    def test_completions_and_streams_too(self, server: Any) -> None:
        body = {"prompt": "x", "max_tokens": 2, "stream": True}
        events = server.post("/v1/completions", body, x_request_id="gw-1").events
        assert {event["id"] for event in events} == {"cmpl-gw-1"}
