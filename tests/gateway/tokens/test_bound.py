"""The bound holds for the worst tokenizer there can be: one token for each byte."""

from __future__ import annotations

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.families import MODELS, TemplateError, known_tools, render
from gateway.tokens.bound import text_bound, tools_bound

CHATTING = [model for model in MODELS.values() if model.chat_template is not None]
words = st.text(max_size=12)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=8,
)
calls = st.builds(
    lambda name, arguments: {"function": {"name": name, "arguments": arguments}},
    words,
    st.one_of(values, values.map(lambda value: json.dumps(value, separators=(",", ":")))),
)
contents = st.one_of(
    words, st.none(), st.lists(st.builds(lambda text: {"type": "text", "text": text}, words), max_size=3)
)
messages = st.lists(
    st.one_of(
        st.builds(
            lambda role, content: {"role": role, "content": content},
            st.one_of(st.sampled_from(["system", "user", "assistant", "tool", "developer"]), words),
            contents,
        ),
        st.builds(lambda role: {"role": role}, st.sampled_from(["user", "tool", ""])),
        st.builds(
            lambda content, made: {"role": "assistant", "content": content, "tool_calls": made},
            contents,
            st.lists(calls, max_size=3),
        ),
    ),
    max_size=12,
)
functions = st.builds(
    lambda function, outer: {**outer, "function": function},
    st.fixed_dictionaries(
        {"name": words},
        optional={
            "description": words,
            "parameters": st.dictionaries(words, values, max_size=4),
            "strict": st.booleans(),
        },
    ),
    st.fixed_dictionaries({}, optional={"type": st.just("function"), "defer_loading": st.booleans(), "more": values}),
)


def spelled(value, ascii_only, hide):
    """JSON as a client may write it: as compact as can be, or with letters hidden behind escapes."""
    text = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
    text = re.sub(r"([0-9])\.0e\+?", r"\1e", text)
    if hide:
        text = text.replace('"tool"', '"\\u0074ool"').replace('"tool_calls"', '"tool\\u005fcalls"')
    return text.encode("utf-8", "surrogatepass")


@given(messages, st.one_of(st.none(), st.lists(functions, min_size=1, max_size=3)), st.booleans(), st.booleans())
@settings(max_examples=400, deadline=None)
def test_no_template_prints_more_than_the_bound(conversation, tools, ascii_only, hide):
    raw = spelled(conversation, ascii_only, hide)
    raw_tools = None if tools is None else spelled(tools, ascii_only, False)
    for model in CHATTING:
        try:
            text = render(model, {"messages": json.loads(raw), "tools": json.loads(raw_tools or b"null")})
        except TemplateError:
            continue
        for token in model.special_tokens:
            text = text.replace(token, "!")
        assert len(text.encode("utf-8", "replace")) <= text_bound(raw, raw_tools) + model.overhead_bytes


def test_a_thousand_empty_tool_messages():
    """What adds most to least: 28 bytes of JSON each."""
    conversation = [{"role": "tool", "content": ""}] * 1000
    for unread in (False, True):
        raw = spelled(conversation if unread else conversation[:100], False, True)
        for model in CHATTING:
            text = render(model, {"messages": json.loads(raw)})
            assert len(text.encode()) <= text_bound(raw) + model.overhead_bytes


def test_an_ordinary_conversation_is_bounded_by_its_own_bytes():
    raw = spelled([{"role": "user", "content": "Which tool do you use? " + "x" * 500}], False, False)
    assert text_bound(raw) == len(raw)


@given(st.lists(functions, min_size=1, max_size=3))
def test_tools_are_bounded_by_what_they_print_as(tools):
    raw = spelled(tools, False, False)
    printed = json.dumps(known_tools(json.loads(raw)), ensure_ascii=False)
    assert len(printed.encode("utf-8", "replace")) <= tools_bound(raw)


def test_large_tools_are_printed_once_and_exactly():
    tools = [{"type": "function", "function": {"name": f"f{at}", "limit": 1e15}} for at in range(100)]
    assert tools_bound(spelled(tools, False, False)) == len(json.dumps(known_tools(tools)))
