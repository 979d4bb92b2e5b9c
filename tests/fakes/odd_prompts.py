"""Prompts of every kind that has to be counted as the model server counts it, by route."""

from __future__ import annotations

from typing import Any

TOOL = {"type": "function", "function": {"name": "find", "description": "Finds é and <b>", "parameters": {"x": [1e15]}}}
BARE_TOOL = {"function": {"name": "f"}, "more": [1, 2]}
CALL = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"a":1, "b": "ü\\n"}'}}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def text(value: Any, kind: str = "text") -> dict[str, Any]:
    return {"type": kind, kind: value}


def called(arguments: Any, **more: Any) -> dict[str, Any]:
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call], **more}


CHATS: dict[str, dict[str, Any]] = {
    "parts": {"messages": [user([text("one"), text("two"), "three"])]},
    "an empty part is left out too": {"messages": [user([text("one"), text(""), text("two")])]},
    "a part with null text is left out": {"messages": [user([text("one"), text(None), text("two")])]},
    "a billing line, dropped of the system's": {
        "messages": [
            {"role": "system", "content": "x-anthropic-billing-header: cch=1\nBe brief."},
            {
                "role": "system",
                "content": [text("x-anthropic-billing-header"), text("x-anthropic-billing-header: 2\n3")],
            },
            user("x-anthropic-billing-header: cch=1\nx"),
        ]
    },
    "refusal": {"messages": [user("x"), {"role": "assistant", "content": [text("no", "refusal")]}, user("y")]},
    "thinking": {"messages": [{"role": "assistant", "content": [text("hm", "thinking")]}, user("y")]},
    "names": {"messages": [{**user("x"), "name": "Ada"}]},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, user("x")]},
    "developer behind system": {
        "messages": [{"role": "system", "content": "A"}, user("x"), {"role": "developer", "content": "B"}, user("y")]
    },
    "system in the middle": {"messages": [user("x"), {"role": "system", "content": "Now in French."}, user("y")]},
    "a role of its own": {"messages": [{"role": "critic", "content": "x"}]},
    "tools": {"messages": [user("x")], "tools": [TOOL, BARE_TOOL]},
    "tools, none to be called": {"messages": [user("x")], "tools": [TOOL], "tool_choice": "none"},
    "tools, one to be called": {
        "messages": [user("x")],
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "find"}},
    },
    "tool results": {
        "messages": [
            user("x"),
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "1", "content": "RESULT"},
            {"role": "tool", "tool_call_id": "1", "content": [text("PART"), text("PART")]},
        ],
        "tools": [TOOL],
    },
    "arguments that are no JSON": {"messages": [user("x"), called("{not json")]},
    "arguments that are no object": {"messages": [user("x"), called("[1, 2]")]},
    "empty arguments": {"messages": [user("x"), called("")]},
    "no calls": {"messages": [user("x"), {"role": "assistant", "content": "y", "tool_calls": []}, user("z")]},
    "calls of a user": {"messages": [{**called("{}"), "role": "user", "content": "x"}]},
    "functions, the old field": {"messages": [user("x")], "functions": [TOOL["function"]]},
    "documents": {"messages": [user("x")], "documents": [{"title": "A", "text": "B" * 100}]},
    "special tokens": {"messages": [user("<|user|>a<|im_start|>b<|im_end|> <|endoftext|>[gMASK]<sop><|fim_prefix|>")]},
    "half special tokens": {"messages": [user("<|user| ><|im_start<|im_end|><|im_end")]},
    "with the tokenizer's own tokens": {"messages": [user("x")], "add_special_tokens": True},
    "no generation prompt": {"messages": [user("x")], "add_generation_prompt": False},
    "continued": {
        "messages": [user("x"), {"role": "assistant", "content": "def f(  "}],
        "add_generation_prompt": False,
        "continue_final_message": True,
    },
    "template options": {
        "messages": [user("x")],
        "chat_template_kwargs": {"enable_thinking": True, "add_generation_prompt": False, "documents": [{"a": "b"}]},
    },
    "normal forms": {"messages": [user("ﷺ Å Å ΐ ㎒ ﬁ \u0344\u1161\uac00 \U0001d160")]},
    "controls": {"messages": [user("\x00\x01\ufeffa\u2028b\u200b\r\n\t \x7f")]},
    "emoji": {"messages": [user("👩‍👩‍👧‍👦🏳️‍🌈é̂̃")]},
    "a long line": {"messages": [user("x = [" + "1, " * 1500 + "]")], "truncate_prompt_tokens": 1000},
    "blanks": {"messages": [user(" " * 1500)]},
    "cut": {"messages": [user("some words " * 400)], "truncate_prompt_tokens": 100},
    "cut to more than there is": {"messages": [user("some words")], "truncate_prompt_tokens": 1000},
}
# What vLLM 0.32 refuses.
REFUSED_CHATS: dict[str, dict[str, Any]] = {
    "no content": {"messages": [{"role": "user"}, user(None), user("")]},
    "no messages": {"messages": []},
    "arguments as an object": {"messages": [user("x"), called({"b": 1, "a": [True, None]})]},
}
TEXTS: dict[str, dict[str, Any]] = {
    "text": {"prompt": "def f(x):\n    return x\n"},
    "special tokens": {"prompt": "<|user|>a<|im_start|>b"},
    "without special tokens": {"prompt": "abc", "add_special_tokens": False},
    "with special tokens": {"prompt": "abc", "add_special_tokens": True},
    "a list of one": {"prompt": ["abc def"]},
    "ids": {"prompt": [1, 2, 3, 4, 5]},
    "a list of one list of ids": {"prompt": [[1, 2, 3]]},
    "ids, cut": {"prompt": list(range(100)), "truncate_prompt_tokens": 7},
    "cut": {"prompt": "some words " * 400, "truncate_prompt_tokens": 100},
    "controls": {"prompt": "\x00\ufeffa\u2028b"},
}

# Texts that are hard on a tokenizer, a template or JSON, to be strung together.
WORDS = (
    *("def f(x):\n    return x\n", "é", "代码", "😀", " ", "\n\n", "  ", "\x00", "'s", "123456"),
    *("<|user|>", "<|im_end|>", "<sop>", "<|im_start|>", "<|fim", "ﷺ", "\u0301", '{"a": 1}', "\\u0041", '"', "\\"),
)
