"""Values for JSON schemas."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.engines.simulated.tools import example

NODE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["value"],
}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "enum": ["b", "a"]}, "b"),
        ({"const": 3}, 3),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "number", "maximum": -2}, -3.0),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "string", "maxLength": 3}, "exa"),
        ({"type": ["string", "null"], "minLength": 9}, "examplexx"),
        (
            {"allOf": [{"properties": {"a": {"type": "null"}}}, {"properties": {"b": {"const": 1}}}]},
            {"a": None, "b": 1},
        ),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}}, True),
        ({}, {}),
    ],
)
def test_examples(schema: dict[str, Any], expected: object) -> None:
    assert example(schema) == expected


@pytest.mark.parametrize(("choice", "keys"), [("auto", ["name"]), ("required", ["name", "arguments"])])
def test_a_streamed_call_begins_as_vllm_does(tools_server: Any, choice: str, keys: list[str]) -> None:
    """vLLM 0.32 with the hermes parser: ``auto`` gives the name an entry of its own, ``required`` does not."""
    function = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    fields = {"tools": [{"type": "function", "function": function}], "tool_choice": choice, "stream": True}
    events = tools_server.chat("What is the weather in Paris?", max_tokens=400, **fields).events
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    first, *more = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert list(first["function"]) == keys
    assert all(list(call) == ["index", "function"] and list(call["function"]) == ["arguments"] for call in more)
    text = "".join(call["function"].get("arguments", "") for call in [first, *more])
    assert text == '{"city": "Paris"}'


def test_names_come_from_the_question() -> None:
    assert example({"type": "string"}, "What is the weather in Paris?") == "Paris"
    assert example({"type": "string"}, "open 'a.txt' now") == "a.txt"


def test_a_schema_that_contains_itself_ends() -> None:
    value = example({"$ref": "#/$defs/node", "$defs": {"node": NODE}})
    assert value["value"] == 1
