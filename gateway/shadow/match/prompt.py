"""What of a request may be a task's prompt, and whether the rest of it could change the task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# In characters; BigCodeBench's longest prompt has 3,590. What is longer is no bare task, and is not looked at.
LONGEST = 16_384

_SYSTEM = re.compile(
    r"you are a helpful( coding| programming)? assistant\.?"
    r"|you are loopcoder, a helpful assistant developed by iquest\."
    r"|you are an intelligent programming assistant to produce python algorithmic solutions\.?",
    re.IGNORECASE,
)
# How the official harnesses of BigCodeBench and EvalPlus, and lm-evaluation-harness, begin the answer.
_PREFILL = re.compile(
    r"(below is a python script with a self-contained function that (efficiently )?solves the problem and passes"
    r" corresponding tests:|here is the completed function:)?\s*(```(python)?)?",
    re.IGNORECASE,
)
_ROLE = re.compile(r"<\|im_start\|>(\w+)\n|<\|(system|user|assistant|observation)\|>\n?")
_BEFORE_ROLES = re.compile(r"\s*(\[gMASK\]\s*<sop>\s*)?")
_CHANGES_ANSWERS = (
    *("tools", "functions", "response_format", "structured_outputs", "documents", "chat_template"),
    *("guided_json", "guided_regex", "guided_choice", "guided_grammar"),
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """`text`: the last user message, or the completion prompt. `turns`: there were turns before it.

    `alone`: nothing else in the request can ask for anything: no other turns, no tools, documents, format of answers or
    template of its own, no system message but known empty phrases.
    """

    text: str
    turns: bool = False
    alone: bool = True


class _Message(NamedTuple):
    role: str
    text: str | None  # None: no text, or not only


def prompt_of(body: Mapping[str, object]) -> Prompt | None:
    """Of a decoded request of either model route; None if it can't be a bare task (token ids, several prompts, a gap
    to fill, pictures, or more than LONGEST characters). Never raises: whatever is malformed is None."""
    messages, prompt = body.get("messages"), body.get("prompt")
    if body.get("suffix"):
        return None
    if isinstance(messages, list):
        found = _of_messages([_message(message) for message in messages])
    else:
        if isinstance(prompt, list) and len(prompt) == 1:
            prompt = prompt[0]
        found = _of_text(prompt) if isinstance(prompt, str) and len(prompt) <= LONGEST else None
    if found is not None and any(body.get(field) for field in _CHANGES_ANSWERS):
        return Prompt(found.text, found.turns, alone=False)
    return found


def _of_messages(messages: Sequence[_Message]) -> Prompt | None:
    last = max((place for place, message in enumerate(messages) if message.role == "user"), default=-1)
    if last < 0:
        return None
    text = messages[last].text
    if text is None or len(text) > LONGEST:
        return None
    before, after = messages[:last], messages[last + 1 :]
    turns = any(message.role not in ("system", "developer") for message in before)
    alone = not turns and len(after) <= 1 and all(map(_is_empty_phrase, before)) and all(map(_is_prefill, after))
    return Prompt(text, turns, alone)


def _of_text(text: str) -> Prompt | None:
    """A completion prompt, which a client may have put into a chat template itself."""
    start = _BEFORE_ROLES.match(text)
    first = _ROLE.match(text, start.end() if start else 0)
    if first is None:
        return Prompt(text)
    heads = [first, *_ROLE.finditer(text, first.end())]
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return _of_messages(
        [
            _Message(head[1] or head[2], text[head.end() : end].rstrip().removesuffix("<|im_end|>"))
            for head, end in zip(heads, ends, strict=True)
        ]
    )


def _message(message: object) -> _Message:
    """Text parts are joined by line ends, as vLLM does it."""
    if not isinstance(message, dict):
        return _Message("", None)
    role, content = message.get("role"), message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        content = "\n".join(texts) if len(texts) == len(parts) else None
    if message.get("tool_calls") or not isinstance(content, str):
        content = None
    return _Message(role if isinstance(role, str) else "", content)


def _is_empty_phrase(message: _Message) -> bool:
    return message.text is not None and (not message.text or _SYSTEM.fullmatch(message.text.strip()) is not None)


def _is_prefill(message: _Message) -> bool:
    """The beginning of the answer, given by the client, without a choice in it."""
    return message.role == "assistant" and message.text is not None and bool(_PREFILL.fullmatch(message.text.strip()))
