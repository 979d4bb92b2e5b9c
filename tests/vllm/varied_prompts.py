"""Requests of every kind whose prompt a gateway counts, the same each time: fixed cases, and ones drawn by seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.fakes.completions import CHAT, COMPLETIONS
from tests.fakes.odd_prompts import CHATS, REFUSED_CHATS, TEXTS, WORDS, called, text

_ROLES = ("system", "user", "user", "assistant", "tool", "developer", "critic")
_MORE = ("fn main() {}\n", "\t", "    ", "naïve", "λ", "的", "🏳️‍🌈", "\r\n", "0x1F", "__init__", ";;;", "<|", "|>")
_WORDS = (*WORDS, *_MORE)


@dataclass(frozen=True, slots=True)
class Asked:
    """``kind`` and ``name`` say which one it is where something differs."""

    kind: str
    name: str
    path: str
    body: dict[str, Any]


def varied_requests(seed: int) -> list[Asked]:
    """All but the lists of prompts. What names the model is left to who sends them."""
    random = Random(seed)
    made = [Asked("chat", name, CHAT, body) for name, body in CHATS.items()]
    made += [Asked("refused chat", name, CHAT, body) for name, body in REFUSED_CHATS.items()]
    made += [Asked("text", name, COMPLETIONS, body) for name, body in TEXTS.items()]
    made += [Asked("drawn chat", str(number), CHAT, _chat(random)) for number in range(130)]
    made += [Asked("long chat", str(number), CHAT, {"messages": [_long(random)]}) for number in range(4)]
    made += [Asked("drawn text", str(number), COMPLETIONS, _completion(random)) for number in range(30)]
    made += [Asked("gap", str(number), COMPLETIONS, _gap(random)) for number in range(40)]
    return made


def lists_of_prompts(seed: int) -> list[list[str] | list[list[int]]]:
    random = Random(seed)
    texts = [[_text(random) or "x" for _ in range(random.randint(2, 4))] for _ in range(8)]
    return [*texts, [_ids(random) for _ in range(3)], [_ids(random) for _ in range(2)]]


def _text(random: Random, most: int = 14) -> str:
    return "".join(random.choice(_WORDS) for _ in range(random.randrange(most)))


def _ids(random: Random) -> list[int]:
    return [random.randrange(1000) for _ in range(random.randint(1, 40))]


def _value(random: Random, depth: int = 0) -> Any:
    """What JSON can hold."""
    kind = random.randrange(5 if depth > 2 else 7)
    if kind == 5:
        return [_value(random, depth + 1) for _ in range(random.randrange(3))]
    if kind == 6:
        return {_text(random, 4): _value(random, depth + 1) for _ in range(random.randrange(3))}
    plain = (None, random.random() < 0.5, random.randrange(-9, 10**6), random.random() * 1e9, _text(random, 6))
    return plain[kind]


def _object(random: Random) -> dict[str, Any]:
    return {_text(random, 4): _value(random) for _ in range(random.randrange(3))}


def _content(random: Random, odd: float = 0.1) -> Any:
    """``odd``: how often it is what vLLM may refuse, by the role of the message and the rest of its parts."""
    if random.random() < odd:
        return random.choice((None, [], [_text(random), text(_text(random))], [text(None)]))
    if random.random() < 0.6:
        return _text(random)
    return [text(_text(random), random.choice(("text", "text", "refusal"))) for _ in range(random.randint(1, 4))]


def _long(random: Random) -> dict[str, Any]:
    """Some thousand tokens."""
    return {"role": "user", "content": "".join(random.choices(_WORDS, k=2000))}


def _message(random: Random) -> dict[str, Any]:
    if random.random() < 0.2:
        arguments = random.choice((json.dumps(_object(random)), _text(random), "[]", ""))
        return called(arguments, content=random.choice((None, _text(random))))
    message = {"role": random.choice(_ROLES), "content": _content(random)}
    if message["role"] == "tool":
        message["tool_call_id"] = "1"
    return message


def _tool(random: Random) -> dict[str, Any]:
    function: dict[str, Any] = {"name": f"f{random.randrange(99)}"}
    if random.random() < 0.7:
        function["description"] = _text(random)
    if random.random() < 0.7:
        function["parameters"] = _object(random)
    return {"type": "function", "function": function}


def _chat(random: Random) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [_message(random) for _ in range(random.randint(1, 6))]}
    options: dict[str, Any] = {
        "tools": [_tool(random) for _ in range(random.randint(1, 3))],
        "add_special_tokens": random.random() < 0.5,
        "add_generation_prompt": random.random() < 0.5,
        "truncate_prompt_tokens": random.randint(1, 60),
        "chat_template_kwargs": {"enable_thinking": random.random() < 0.5},
    }
    body |= {name: value for name, value in options.items() if random.random() < 0.25}
    if "tools" in body:
        body["tool_choice"] = "none"  # what may be called is printed all the same
    if random.random() < 0.15:
        last = {"role": "assistant", "content": "def f(" + _text(random)}
        body |= {"add_generation_prompt": False, "continue_final_message": True}
        body["messages"].append(last)
    return body


def _completion(random: Random) -> dict[str, Any]:
    body: dict[str, Any] = {"prompt": random.choice((_text(random, 40) or "x", _ids(random)))}
    options = {"add_special_tokens": random.random() < 0.5, "truncate_prompt_tokens": random.randint(1, 60)}
    return body | {name: value for name, value in options.items() if random.random() < 0.3}


def _gap(random: Random) -> dict[str, Any]:
    """Code with a gap, without the marks of any family's frame."""

    def code() -> str:
        return _text(random, 20).replace("<|", "<")

    body: dict[str, Any] = {"prompt": code(), "suffix": code()}
    files = [{"path": f"n{number}.py", "content": code()} for number in range(random.randint(1, 3))]
    options = {"path": "src/é m.py", "language": "Python", "mode": "line", "reference_files": files}
    return body | {name: value for name, value in options.items() if random.random() < 0.5}
