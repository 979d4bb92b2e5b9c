"""What becomes of messages and tools before a template prints them; the facts are vLLM 0.32's."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.families import TemplateError, known_tools
from gateway.families.conversation import conversation


def flat(*messages: Any, knows_developer: bool = True) -> list[dict[str, Any]]:
    return conversation(list(messages), knows_developer=knows_developer)


def content(value: Any) -> str:
    text = flat({"role": "user", "content": value})[0]["content"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, ""),
        ("a\nb", "a\nb"),
        ([], ""),
        (["a", {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": ""}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": None}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "refusal", "refusal": "no"}, {"type": "refusal"}], "no"),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "input_text", "text": "x"}], "hm\nx"),
    ],
)
def test_content_is_joined_by_newlines(given: Any, text: str) -> None:
    assert content(given) == text


@pytest.mark.parametrize(
    "given",
    [5, {"type": "text", "text": "x"}, [5], [None], [{}], [{"text": "x"}], [{"type": 7}], [{"type": "image_url"}]],
)
def test_other_content_is_refused(given: Any) -> None:
    with pytest.raises(TemplateError):
        content(given)


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("", {}),
        (None, {}),
        ("{no", {}),
        ("[1]", {}),
        ("5", {}),
        ([1], {}),
    ],
)
def test_arguments_become_an_object(given: Any, arguments: Any) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": given}}
    (message,) = flat({"role": "assistant", "tool_calls": [call]})
    assert message["tool_calls"] == [{**call, "function": {"name": "f", "arguments": arguments}}]


def test_the_systems_billing_line_is_dropped() -> None:
    line = "x-anthropic-billing-header: a=1"
    for given in (f"{line}\nBe brief.", [f"{line}\nBe brief."], [{"type": "text", "text": line}, "Be brief."]):
        assert flat({"role": "system", "content": given})[0]["content"] == "Be brief."
    assert flat({"role": "developer", "content": line})[0]["content"] == line
    assert content(f"{line}\nx") == f"{line}\nx"


def test_only_assistants_call() -> None:
    assert "tool_calls" not in flat({"role": "user", "content": "x", "tool_calls": [{"function": {"name": "f"}}]})[0]
    assert "tool_calls" not in flat({"role": "assistant", "content": "x", "tool_calls": []})[0]
    for calls in ([5], [{}], [{"type": "custom", "function": {"name": "f"}}], {"a": 1}, "x"):
        with pytest.raises(TemplateError):
            flat({"role": "assistant", "tool_calls": calls})


def test_developers_are_the_system_where_the_template_does_not_know_them() -> None:
    messages = [{"role": role, "content": role[0]} for role in ("system", "user", "developer", "assistant")]
    assert [message["role"] for message in flat(*messages)] == ["system", "user", "developer", "assistant"]
    assert flat(*messages, knows_developer=False) == [
        {"role": "system", "content": "s\n\nd"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
    ]
    assert flat({"role": "developer", "content": "d"}, knows_developer=False) == [{"role": "system", "content": "d"}]
    in_the_middle = [messages[1], messages[0]]
    assert flat(*in_the_middle, knows_developer=False) == in_the_middle


def test_tools_are_printed_with_the_known_fields_in_order() -> None:
    given = {
        "x": 1,
        "function": {"strict": True, "parameters": {"b": 1, "a": 2}, "name": "f", "y": 2},
        "type": "function",
    }
    (tool,) = known_tools([given]) or []
    assert list(tool) == ["type", "function"]
    assert list(tool["function"].items()) == [
        ("name", "f"),
        ("description", None),
        ("parameters", {"b": 1, "a": 2}),
        ("strict", True),
    ]
    assert known_tools(None) is None


@pytest.mark.parametrize(
    "tools",
    [
        *(
            [],
            {},
            "x",
            [1],
            [{}],
            [{"function": {}}],
            [{"function": {"name": 5}}],
            [{"type": "x", "function": {"name": "f"}}],
        ),
        *([{"function": {"name": "f", "parameters": []}}], [{"function": {"name": "f", "description": 5}}]),
    ],
)
def test_other_tools_are_refused(tools: Any) -> None:
    with pytest.raises(TemplateError):
        known_tools(tools)
