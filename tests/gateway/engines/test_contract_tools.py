"""Tools at a vLLM 0.32 server with the hermes parser, and without one. Part of the contract (see test_contract.py)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .contract import Server

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris"]}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "get_weather", "description": "Current weather of a city", "parameters": PARAMETERS}
WEATHER = {"type": "function", "function": {**FUNCTION, "strict": True}}
NAMED = {"type": "function", "function": {"name": "get_weather"}}
MESSAGE_KEYS = ["role", "content", "refusal", "annotations", "audio", "function_call"]
ASKED = "What is the weather in Paris?"


def calling(server: Server, **fields: Any) -> dict[str, Any]:
    """A request in which even random weights end what they began as soon as the grammar lets them."""
    ends = {"max_tokens": 300, "temperature": 0, "seed": 1, "logit_bias": server.closing_bias()}
    return {"tools": [WEATHER], **ends, **fields}


class TestWithoutAParser:
    def test_a_choice_that_needs_one(self, server: Server) -> None:
        auto = server.chat(tools=[WEATHER]).refused(400, "BadRequestError", None)
        assert auto == '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        required = server.chat(tools=[WEATHER], tool_choice="required").refused(400, "BadRequestError", None)
        assert required == 'tool_choice="required" requires --tool-call-parser to be set'
        named = server.chat(tools=[WEATHER], tool_choice=NAMED).refused(400, "BadRequestError", None)
        assert named == 'tool_choice=function "get_weather" requires --tool-call-parser to be set'

    def test_none_needs_no_parser(self, server: Server) -> None:
        assert server.chat(tools=[WEATHER], tool_choice="none", max_tokens=1).status == 200


@pytest.mark.parametrize(("choice", "reason"), [("required", "tool_calls"), (NAMED, "stop")])
class TestACall:
    def test_whole(self, guarded: Server, choice: Any, reason: str) -> None:
        body = guarded.chat(ASKED, **calling(guarded, tool_choice=choice)).json["choices"][0]
        assert body["finish_reason"] == reason
        assert list(body["message"]) == [*MESSAGE_KEYS, "tool_calls", "reasoning"]
        assert body["message"]["content"] == ""
        call = body["message"]["tool_calls"][0]
        assert list(call) == ["id", "type", "function"]
        assert call["id"].startswith("chatcmpl-tool-")
        assert call["type"] == "function"
        assert list(call["function"]) == ["name", "arguments"]
        assert call["function"]["name"] == "get_weather"
        assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}

    def test_streamed(self, guarded: Server, choice: Any, reason: str) -> None:
        """The name comes by itself, then the arguments, in pieces that make up their JSON."""
        events = guarded.chat(ASKED, **calling(guarded, tool_choice=choice, stream=True)).events
        deltas = [event["choices"][0]["delta"] for event in events]
        assert deltas[0] == {"role": "assistant", "content": ""}
        assert all(list(delta) == ["content", "tool_calls"] and delta["content"] is None for delta in deltas[1:-1])
        first, *others = [call for delta in deltas for call in delta.get("tool_calls", ()) if call["index"] == 0]
        assert list(first) == ["id", "type", "index", "function"]
        assert first["id"].startswith("chatcmpl-tool-")
        assert first["function"] == {"name": "get_weather"}
        assert all(list(call) == ["index", "function"] and list(call["function"]) == ["arguments"] for call in others)
        assert json.loads("".join(call["function"]["arguments"] for call in others)) == {"city": "Paris"}
        assert deltas[-1] == {}
        assert events[-1]["choices"][0]["finish_reason"] == reason

    def test_cut(self, guarded: Server, choice: Any, reason: str) -> None:
        """Whole, what there is of a call is text; streamed, nothing is shown before its name is known."""
        fields = calling(guarded, tool_choice=choice, max_tokens=4)
        body = guarded.chat(ASKED, **fields).json["choices"][0]
        assert body["finish_reason"] == "length"
        assert "tool_calls" not in body["message"]
        assert body["message"]["content"]
        *_, last = guarded.chat(ASKED, **fields, stream=True).events
        assert last["choices"][0]["finish_reason"] == "length"

    def test_with_token_ids_and_logprobs(self, guarded: Server, choice: Any, reason: str) -> None:
        body = guarded.chat(ASKED, **calling(guarded, tool_choice=choice, return_token_ids=True, logprobs=True)).json
        found = body["choices"][0]
        assert len(found["token_ids"]) == len(found["logprobs"]["content"]) == body["usage"]["completion_tokens"]


class TestChoices:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("strict", [False, True])
    def test_auto_calls_or_answers(self, guarded: Server, strict: bool, stream: bool) -> None:
        """Which of both is the model's to say. With ``strict``, a call that it begins can't be a wrong one."""
        function = {**FUNCTION, "strict": True} if strict else FUNCTION
        fields = {"tools": [{"type": "function", "function": function}], "max_tokens": 200, "stream": stream}
        answer = guarded.chat(ASKED, temperature=0, seed=1, **fields)
        if not stream:
            choice = answer.json["choices"][0]
            assert ("tool_calls" in choice["message"]) == (choice["finish_reason"] == "tool_calls")
            return
        events = answer.events
        calls = [call for event in events for call in event["choices"][0]["delta"].get("tool_calls", ())]
        assert bool(calls) == (events[-1]["choices"][0]["finish_reason"] == "tool_calls")

    def test_none_leaves_the_tools_in_the_prompt(self, guarded: Server) -> None:
        fields = {"tools": [WEATHER], "max_tokens": 2, "temperature": 0}
        auto, none = (guarded.chat(ASKED, **fields, tool_choice=choice).json for choice in ("auto", "none"))
        assert none["usage"]["prompt_tokens"] == auto["usage"]["prompt_tokens"]
        assert "tool_calls" not in none["choices"][0]["message"]

    def test_none_streams_text_alone(self, guarded: Server) -> None:
        fields = {"tools": [WEATHER], "max_tokens": 4, "tool_choice": "none", "stream": True, "ignore_eos": True}
        deltas = [event["choices"][0]["delta"] for event in guarded.chat(ASKED, **fields).events]
        assert not any("tool_calls" in delta for delta in deltas)

    def test_a_result_is_part_of_the_conversation(self, guarded: Server) -> None:
        function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
        call = {"id": "call-1", "type": "function", "function": function}
        asked = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": None, "tool_calls": [call]}]
        messages = [*asked, {"role": "tool", "tool_call_id": "call-1", "content": "sunny"}]
        body = {"messages": messages, "tools": [WEATHER]}
        counted = guarded.engine.post("/tokenize", body).json["count"]
        answer = guarded.converse(messages, tools=[WEATHER], max_tokens=1)
        assert answer.json["usage"]["prompt_tokens"] == counted

    def test_that_make_no_sense(self, guarded: Server) -> None:
        other = {"type": "function", "function": {"name": "other"}}
        told = guarded.chat(tools=[WEATHER], tool_choice=other).refused(400, "BadRequestError", "tool_choice")
        assert (
            told
            == "The tool specified in `tool_choice` does not match any of the specified `tools` (parameter=tool_choice)"
        )
        for choice in ("auto", "required"):
            guarded.chat(tool_choice=choice).refused(400, "BadRequestError", "tool_choice")
        guarded.chat(tools=[WEATHER], tool_choice="maybe").refused(400, "BadRequestError", "tool_choice")
        guarded.chat(tools=[]).refused(400, "BadRequestError", "tools")
        guarded.chat(tools=[5]).refused(400, "Bad Request", "body.tools.0")
        nameless = {"type": "function", "function": {}}
        guarded.chat(tools=[nameless]).refused(400, "Bad Request", "body.tools.0.function.name")
