"""What a model answered, out of the bytes that the client got."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_DATA, _DONE = b"data:", b"[DONE]"


@dataclass(frozen=True, slots=True)
class Answer:
    """The first choice's `text`, and why it ended; None if the model server did not say."""

    text: str
    finish_reason: str | None


def answer_of(data: bytes, *, stream: bool) -> Answer | None:
    """None if it is no answer of either model route: malformed, without text, or cut off."""
    try:
        return _streamed(_events(data)) if stream else _whole(json.loads(data))
    except (ValueError, RecursionError):
        return None


def _events(data: bytes) -> Iterable[Any]:
    for line in data.splitlines():
        if line.startswith(_DATA) and (event := line[len(_DATA) :].strip()) != _DONE:
            yield json.loads(event)


def _streamed(events: Iterable[Any]) -> Answer | None:
    texts, reason, seen = list[str](), None, False
    for event in events:
        choice = _first_choice(event)
        if choice is None:
            continue
        seen = True
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else choice.get("text")
        if isinstance(text, str):
            texts.append(text)
        reason = choice.get("finish_reason") or reason
    return Answer("".join(texts), reason if isinstance(reason, str) else None) if seen else None


def _whole(document: Any) -> Answer | None:
    choice = _first_choice(document)
    if choice is None:
        return None
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    reason = choice.get("finish_reason")
    return Answer(text if isinstance(text, str) else "", reason if isinstance(reason, str) else None)


def _first_choice(document: Any) -> dict[str, Any] | None:
    """Of several choices (`n`) the first: one answer a prompt, or answers would not be independent."""
    choices = document.get("choices") if isinstance(document, dict) else None
    found = choices if isinstance(choices, list) else []
    return next((each for each in found if isinstance(each, dict) and each.get("index", 0) == 0), None)
