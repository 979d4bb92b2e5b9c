"""From a request's raw fields to the texts that a model server tokenizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.families import Model, TemplateError, flag, render

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"

_CHAT_FIELDS = (
    *("messages", "tools", "chat_template_kwargs"),
    *("add_generation_prompt", "continue_final_message", "add_special_tokens"),
)

_COMPLETION_FIELDS = ("prompt", "add_special_tokens")

Raws = Mapping[str, Any]  # msgspec.Raw or bytes: the JSON of each top-level field


class Prompt(NamedTuple):
    """``texts``: of a list the longest first. ``ids``: the longest prompt that came as token ids, in tokens.

    ``special``: the tokenizer puts its own tokens around each text. ``cap``: the server cuts the prompt to so many.
    """

    texts: list[str]
    ids: int
    special: bool
    cap: int | None


def read_prompt(model: Model, route: str, raws: Raws) -> Prompt:
    """Raises TemplateError where the model server will refuse the request: it is not ours to say why."""
    try:
        cap = cap_of(raws)
        if route == CHAT:
            body = {name: msgspec.json.decode(raws[name]) for name in _CHAT_FIELDS if name in raws}
            # In a chat the template has printed the special tokens, so servers add none unless they are told to.
            special = flag(body, "add_special_tokens", default=False)
            return Prompt([_encodable(render(model, body))], 0, special, cap)
        body = {name: msgspec.json.decode(raws[name]) for name in _COMPLETION_FIELDS if name in raws}
        texts, ids = _prompts(body["prompt"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, RecursionError) as error:
        raise TemplateError(f"unreadable: {error!r}") from None
    return Prompt(texts, ids, flag(body, "add_special_tokens", default=True), cap)


def _prompts(prompt: Any) -> tuple[list[str], int]:
    if isinstance(prompt, str):
        return [_encodable(prompt)], 0
    if not isinstance(prompt, list) or not prompt:
        raise TemplateError("prompt must be a text or a list")
    if all(type(item) is int for item in prompt):
        return [], len(prompt)
    texts = [_encodable(item) for item in prompt if isinstance(item, str)]
    return sorted(texts, key=len, reverse=True), max(
        (len(item) for item in prompt if isinstance(item, list)), default=0
    )


def _encodable(text: str) -> str:
    """Lone surrogates, which UTF-8 can't spell, become a question mark each."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def cap_of(raws: Raws) -> int | None:
    """The tokens that the prompt is cut to. -1 is no cap: it stands for whatever the window is."""
    if "truncate_prompt_tokens" not in raws:
        return None
    cap: Any = msgspec.json.decode(raws["truncate_prompt_tokens"])
    return cap if type(cap) is int and cap > 0 else None
