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


def test_names_come_from_the_question() -> None:
    assert example({"type": "string"}, "What is the weather in Paris?") == "Paris"
    assert example({"type": "string"}, "open 'a.txt' now") == "a.txt"


def test_a_schema_that_contains_itself_ends() -> None:
    value = example({"$ref": "#/$defs/node", "$defs": {"node": NODE}})
    assert value["value"] == 1
