"""What a vLLM 0.32 server refuses, with which words, and its tool calls.

Part of the contract: over HTTP alone, against the simulated server or a real one (see conftest)."""

from __future__ import annotations

import json
from typing import Any

import pytest

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}
MESSAGE_KEYS = ["role", "content", "refusal", "annotations", "audio", "function_call"]


class TestTools:
    def test_without_a_parser(self, server: Any) -> None:
        auto = server.chat(tools=[WEATHER]).refused(400, "BadRequestError", None)
        assert auto == '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        required = server.chat(tools=[WEATHER], tool_choice="required").refused(400, "BadRequestError", None)
        assert required == 'tool_choice="required" requires --tool-call-parser to be set'
        named = server.chat(tools=[WEATHER], tool_choice=NAMED).refused(400, "BadRequestError", None)
        assert named == 'tool_choice=function "get_weather" requires --tool-call-parser to be set'

    def test_choice_none_needs_no_parser(self, server: Any) -> None:
        assert server.chat(tools=[WEATHER], tool_choice="none", max_tokens=1).status == 200

    @pytest.mark.parametrize(("choice", "reason"), [("required", "tool_calls"), (NAMED, "stop")])
    def test_a_call(self, tools_server: Any, choice: Any, reason: str) -> None:
        answer = tools_server.chat("Weather in Paris?", tools=[WEATHER], tool_choice=choice, max_tokens=400)
        body = answer.json["choices"][0]
        assert body["finish_reason"] == reason
        assert list(body["message"]) == [*MESSAGE_KEYS, "tool_calls", "reasoning"]
        call = body["message"]["tool_calls"][0]
        assert list(call) == ["id", "type", "function"]
        assert call["id"].startswith("chatcmpl-tool-")
        assert call["function"]["name"] == "get_weather"
        assert isinstance(json.loads(call["function"]["arguments"])["city"], str)

    def test_a_call_that_is_cut_is_text(self, tools_server: Any) -> None:
        answer = tools_server.chat("Weather in Paris?", tools=[WEATHER], tool_choice=NAMED, max_tokens=6)
        choice = answer.json["choices"][0]
        assert choice["finish_reason"] == "length"
        assert "tool_calls" not in choice["message"]

    def test_auto(self, tools_server: Any) -> None:
        choice = tools_server.chat("What is the weather in Paris?", tools=[WEATHER], max_tokens=400).json["choices"][0]
        assert choice["finish_reason"] in ("tool_calls", "stop", "length")
        assert ("tool_calls" in choice["message"]) == (choice["finish_reason"] == "tool_calls")

    def test_streamed(self, tools_server: Any) -> None:
        fields = {"tools": [WEATHER], "tool_choice": "required", "max_tokens": 400, "stream": True}
        events = tools_server.chat("Weather in Paris?", **fields).events
        deltas = [event["choices"][0]["delta"] for event in events]
        calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
        assert calls[0]["function"]["name"] == "get_weather"
        assert calls[0]["id"].startswith("chatcmpl-tool-")
        assert {call["index"] for call in calls} == {0}
        arguments = "".join(call["function"].get("arguments") or "" for call in calls)
        assert "city" in json.loads(arguments)
        assert not any(delta.get("content") for delta in deltas)
        assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"

    def test_choices_that_make_no_sense(self, tools_server: Any) -> None:
        other = {"type": "function", "function": {"name": "other"}}
        tools_server.chat(tools=[WEATHER], tool_choice=other).refused(400, "Bad Request", "tool_choice")
        tools_server.chat(tool_choice="auto").refused(400, "Bad Request", "tool_choice")
        tools_server.chat(tools=[]).refused(400, "Bad Request", "tools")


class TestErrors:
    def test_unknown_model(self, server: Any) -> None:
        body = {"model": "nope", "messages": [{"role": "user", "content": "x"}]}
        message = f"The model `nope` does not exist. Valid aliases: {server.model}."
        for path, extra in (("/v1/chat/completions", {}), ("/v1/completions", {"prompt": "x"}), ("/tokenize", {})):
            assert server.post(path, {**body, **extra}).refused(404, "NotFoundError", "model") == message

    @pytest.mark.parametrize("stream", [False, True])
    def test_prompt_too_long_is_json_even_for_a_stream(self, server: Any, stream: bool) -> None:
        window = server.get("/v1/models").json["data"][0]["max_model_len"]
        long = "x y " * window
        message = (
            f"This model's maximum context length is {window} tokens. However, your prompt contains at least "
            f"{window + 1} input tokens, which exceeds this limit even without any output tokens. Please reduce the "
            f"length of the input prompt. (parameter=input_tokens, value={window + 1})"
        )
        chat = server.chat(long, max_tokens=4, stream=stream)
        assert chat.refused(400, "BadRequestError", "input_tokens") == message
        completion = server.complete(long, max_tokens=4, stream=stream)
        assert completion.refused(400, "BadRequestError", "input_tokens") == message

    def test_prompt_and_output_too_long(self, server: Any) -> None:
        window = server.get("/v1/models").json["data"][0]["max_model_len"]
        message = server.chat("hello", max_tokens=window).refused(400, "BadRequestError", "input_tokens")
        assert f"maximum context length is {window} tokens" in message
        assert f"requested {window} output tokens" in message

    def test_max_tokens(self, server: Any) -> None:
        window = server.get("/v1/models").json["data"][0]["max_model_len"]
        high = server.chat(max_tokens=5_000_000).refused(400, "BadRequestError", "max_tokens")
        assert high == (
            f"max_tokens=5000000 cannot be greater than max_model_len={window}. Please request fewer output tokens. "
            "(parameter=max_tokens, value=5000000)"
        )
        low = server.chat(max_tokens=-1).refused(400, "BadRequestError", "max_tokens")
        assert low == "max_tokens must be at least 1, got -1. (parameter=max_tokens, value=-1)"

    def test_values_that_the_sampler_refuses(self, server: Any) -> None:
        message = server.chat(temperature=-3).refused(400, "BadRequestError", "temperature")
        assert message == "temperature must be non-negative, got -3.0. (parameter=temperature, value=-3.0)"
        server.chat(top_p=1.5).refused(400, "BadRequestError", "top_p")
        server.chat(n=0).refused(400, "BadRequestError", "n")
        server.chat(presence_penalty=9).refused(400, "BadRequestError", "presence_penalty")

    def test_missing_field(self, server: Any) -> None:
        answer = server.post("/v1/chat/completions", {"model": server.model})
        message = answer.refused(400, "Bad Request", "body.messages")
        assert message == (
            "1 validation error:\n"
            "  {'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required', 'input': '<dict of 1 items>'}"
        )

    def test_wrong_types(self, server: Any) -> None:
        server.chat(max_tokens="many").refused(400, "Bad Request", "body.max_tokens")
        server.chat(stream_options={"include_usage": True}).refused(400, "Bad Request", "stream_options")

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nothing", b"\xff\xfe"])
    def test_no_json_object(self, server: Any, body: bytes) -> None:
        answer = server.post("/v1/chat/completions", body)
        assert answer.status == 400
        assert answer.json["error"]["type"] == "Bad Request"

    def test_other_content_type(self, server: Any) -> None:
        answer = server.post("/v1/chat/completions", b"{}", content_type="text/plain")
        message = answer.refused(400, "Bad Request", None)
        assert message.endswith("Unsupported Media Type: Only 'application/json' is allowed")

    def test_key_guards_only_v1(self, keyed_server: Any) -> None:
        for header in ("Bearer wrong", "Basic secret", ""):
            answer = keyed_server.call("GET", "/v1/models", authorization=header)
            assert (answer.status, answer.body) == (401, b'{"error":"Unauthorized"}')
            assert keyed_server.call("GET", "/metrics", authorization=header).status == 200
        assert keyed_server.get("/v1/models").status == 200
        assert keyed_server.post("/tokenize", {"prompt": "x"}, authorization="").status == 200


class TestOverload:
    def test_503_without_retry_after(self, overload_server: Any) -> None:
        body = {"prompt": "x", "max_tokens": 3000, "ignore_eos": True, "stream": True}
        held = [overload_server.send("POST", "/v1/completions", body) for _ in range(2)]
        try:
            overload_server.wait_for(lambda: overload_server.metric("vllm:num_requests_running") == 2)
            answer = overload_server.complete("x", max_tokens=1)
            assert answer.status == 503
            assert answer.json["error"]["code"] == 503
            assert "retry-after" not in answer.headers
        finally:
            for connection in held:
                connection.close()
        overload_server.wait_for(lambda: overload_server.complete("x", max_tokens=1).status == 200)
        assert overload_server.metric("vllm:admission_rejections_total", reason="max_num_queued_reqs") >= 1
