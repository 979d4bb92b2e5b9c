"""Chat templates, and the two families' facts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gateway.families import MODELS, TemplateError, render

IQUEST = MODELS["iquest-coder-v1-40b-loop-instruct"]
CODEGEEX = MODELS["codegeex4-all-9b"]
CHATTING = [model for model in MODELS.values() if model.chat_template is not None]
QUESTION = {"messages": [{"role": "user", "content": "Write a Python function to reverse a string."}]}


def test_iquest_is_chatml_with_its_default_system_prompt():
    assert render(IQUEST, QUESTION) == (
        "<|im_start|>system\nYou are LoopCoder, a helpful assistant developed by IQuest.<|im_end|>\n"
        "<|im_start|>user\nWrite a Python function to reverse a string.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_iquest_has_the_special_tokens_where_the_real_tokenizer_has_them():
    """Ids recorded with the real tokenizer: the same turns, and the same newlines (id 13) next to them."""
    data = os.environ.get("YARDSTICK_TEST_DATA")
    if not data:
        pytest.skip("YARDSTICK_TEST_DATA is not set: no recorded token ids")
    recorded = json.loads((Path(data) / "models" / "iquest-token-ids.json").read_text())
    start, end, newline = recorded["known_ids"]["<|im_start|>"], recorded["known_ids"]["<|im_end|>"], 13
    ids = recorded["short_chat"]["ids"]
    marks = [{start: "<|im_start|>", end: "<|im_end|>", newline: "\n"}.get(number, "") for number in ids]
    text = render(IQUEST, {"messages": recorded["short_chat"]["messages"]})
    for mark in ("<|im_start|>", "<|im_end|>", "\n"):
        assert text.count(mark) == marks.count(mark)
    assert len(text.encode()) >= len(ids) == recorded["short_chat"]["n_tokens"]


def test_codegeex_turns():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "Three."},
        {"role": "user", "content": "Four"},
    ]
    assert render(CODEGEEX, {"messages": messages}) == (
        "[gMASK]<sop><|system|>\nBe brief.<|user|>\nOne\ntwo<|assistant|>\nThree.<|user|>\nFour<|assistant|>\n"
    )


def test_codegeex_functions():
    parameters = {"type": "object", "properties": {"é": {"type": "string"}}}
    tools = [
        {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": parameters}},
        {"type": "function", "function": {"name": "now"}},
    ]
    calls = [{"function": {"name": name, "arguments": arguments}} for name, arguments in (("now", "{}"), ("now", ""))]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "12:00"},
        {"role": "assistant", "content": "Again.", "tool_calls": calls[:1]},
    ]
    text = render(CODEGEEX, {"messages": messages, "tools": tools})
    system, turns = text.split("<|user|>", 1)
    assert system.startswith("[gMASK]<sop><|system|>\nBe brief.\n\n# Note\n")
    assert system.endswith(
        "# Functions\n\n## Function 1\n\n### Name\nweather\n\n### Description\nTells it.\n\n### Parameters\n"
        '```json\n{"type": "object", "properties": {"é": {"type": "string"}}}\n```\n'
        "\n## Function 2\n\n### Name\nnow\n"
    )
    block = '```json\n{"name": "now", "arguments": {}}\n```'
    assert turns == (
        f"\nOne<|assistant|>\n{block}\n{block}<|observation|>\n12:00<|assistant|>\nAgain.\n{block}<|assistant|>\n"
    )
    bare = render(CODEGEEX, {"messages": messages[1:2], "tools": tools})
    assert bare == system.replace("Be brief.\n\n", "") + "<|user|>\nOne<|assistant|>\n"


@pytest.mark.parametrize("model", CHATTING, ids=lambda model: model.name)
class TestBoth:
    def test_tools_are_printed_as_transformers_prints_json(self, model):
        tools = [{"type": "function", "function": {"name": "f<é>", "parameters": {"type": "<ü>"}}}]
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1,"b":"ü"}'}}
        messages = [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "RESULT"},
        ]
        text = render(model, {"messages": messages, "tools": tools})
        assert "f<é>" in text
        assert '{"type": "<ü>"}' in text
        assert '{"name": "f", "arguments": {"a": 1, "b": "ü"}}' in text
        assert "RESULT" in text
        assert render(model, {"messages": messages, "tools": tools, "tool_choice": "none"}) == text

    def test_generation_prompt_and_continuation(self, model):
        messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "def f("}]
        with_prompt = render(model, {"messages": messages})
        without = render(model, {"messages": messages, "add_generation_prompt": False})
        assert with_prompt.startswith(without)
        assert with_prompt != without
        continued = render(
            model, {"messages": messages, "add_generation_prompt": False, "continue_final_message": True}
        )
        assert continued.endswith("def f(")
        assert without.startswith(continued)

    def test_template_options_cannot_replace_the_conversation(self, model):
        options = {"messages": [], "tools": [{}], "add_generation_prompt": False, "enable_thinking": True}
        assert render(model, {**QUESTION, "chat_template_kwargs": options}) == render(model, QUESTION)

    @pytest.mark.parametrize(
        "body",
        [{}, {"messages": "x"}, {"messages": [1]}, {"messages": [{}]}, {"messages": [{"role": "user", "content": 3}]}],
    )
    def test_what_cannot_be_rendered_says_so(self, model, body):
        with pytest.raises(TemplateError):
            render(model, body)

    def test_a_template_cannot_reach_out(self, model):
        text = "{{ ''.__class__.__mro__ }}{% for x in [1] %}"
        assert text in render(model, {"messages": [{"role": "user", "content": text}]})


def test_defaults():
    assert CODEGEEX.defaults == {"stop_token_ids": [151329, 151336, 151338]}
    assert IQUEST.defaults == {"temperature": 0.6, "top_p": 0.85, "top_k": 20}
    assert (CODEGEEX.pool_window, IQUEST.pool_window) == (32_768, 131_072)
