from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.match import Prompt, prompt_of
from gateway.shadow.match.prompt import LONGEST
from tests.gateway.shadow.match.sent import Body, chat

USER = ("user", "do it")


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "do it"},
        {"prompt": ["do it"], "suffix": None},
        chat(USER),
        chat(("system", "You are a helpful assistant."), USER, tools=[]),
        chat(USER, ("assistant", "```python\n")),
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "do it"}]}]},
        {"prompt": "[gMASK]<sop><|user|>\ndo it<|assistant|>\n"},
        {"prompt": "<|im_start|>system\n<|im_end|>\n<|im_start|>user\ndo it<|im_end|>\n<|im_start|>assistant\n"},
    ],
)
def test_alone(body: Body) -> None:
    assert prompt_of(body) == Prompt("do it", turns=False, alone=True)


@pytest.mark.parametrize(
    ("body", "turns"),
    [
        (chat(("system", "Use Rust."), USER), False),
        (chat(("developer", "Use Rust."), USER), False),
        (chat(USER, tools=[{"type": "function"}]), False),
        (chat(USER, chat_template="Use Rust. {{ messages }}"), False),
        (chat(USER, response_format={"type": "json_object"}), False),
        (chat(USER, ("assistant", "def task_func(a):\n    return 1")), False),
        (chat(USER, ("assistant", ""), ("system", "In Rust.")), False),
        (chat(("user", "In Rust."), USER), True),
        (chat(("user", "Hi"), ("assistant", "Hi"), USER), True),
        ({"prompt": "<|user|>\nHi<|assistant|>\nHi<|user|>\ndo it<|assistant|>\n"}, True),
    ],
)
def test_not_alone(body: Body, turns: bool) -> None:
    assert prompt_of(body) == Prompt("do it", turns=turns, alone=False)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": None},
        {"prompt": [1, 2]},
        {"prompt": ["a", "b"]},
        {"prompt": "a", "suffix": "b"},
        {"prompt": "a" * (LONGEST + 1)},
        {"messages": []},
        {"messages": [None, 1]},
        chat(("system", "a")),
        chat(("user", "a" * (LONGEST + 1))),
        chat(("user", "a" * 10_000_000)),
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [{"role": "user"}]},
    ],
)
def test_no_bare_task(body: Body) -> None:
    assert prompt_of(body) is None


def test_only_the_last_user_message_is_looked_at() -> None:
    assert prompt_of(chat(("user", "a" * 1_000_000), ("assistant", "no"), USER)) == Prompt("do it", True, False)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["role", "content", "text", "type"]), inner | st.sampled_from(["user", "text"])
        )
    ),
)


@given(st.dictionaries(st.sampled_from(["messages", "prompt", "suffix", "tools"]), _JSON))
def test_any_body(body: Body) -> None:
    prompt_of(body)


@given(
    st.lists(st.sampled_from(["<|im_start|>", "user\n", "<|im_end|>", "<|user|>", "[gMASK]<sop>", "a\n"])).map("".join)
)
def test_any_template(text: str) -> None:
    prompt = prompt_of({"prompt": text})
    assert prompt is None or prompt.text in text
