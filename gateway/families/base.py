"""What a family of models is to the gateway, and how its chat template turns a conversation into text.

Templates are rendered to count, exactly as model servers render them (transformers' rules); only our own templates
ever are, never one that a client sends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model and everything about it that its family decides.

    ``native_window``: tokens the model was made for. ``pool_window``: a pool's default, prompt and output together.
    ``special_tokens``: texts that its tokenizer reads as one token each. ``defaults``: request fields for what the
    client left out. ``expansion``: most tokens a UTF-8 byte can become with the family's own tokenizer, for when no
    tokenizer file says so (None: unknown). ``bytes_per_token``: where the estimate starts before anything is learned.
    """

    name: str
    family: str
    hub_id: str
    native_window: int
    pool_window: int
    chat_template: str
    special_tokens: tuple[str, ...]
    expansion: int | None
    bytes_per_token: float
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def overhead_bytes(self) -> int:
        """Most UTF-8 bytes that the template adds around a conversation, tools preamble included.

        What it adds per message is not in here: `gateway.tokens.bound.text_bound` sees to it.
        """
        return _overhead_bytes(self)


class TemplateError(ValueError):
    """The conversation can't be rendered: the model server will refuse it as well."""


def render(model: Model, body: Mapping[str, Any]) -> str:
    """The prompt of a chat body: its ``messages``, ``tools`` and template options (OpenAI's and vLLM's fields).

    Raises TemplateError where ``messages`` or ``tools`` are not what a template can print.
    """
    messages = body.get("messages")
    if not isinstance(messages, Sequence) or not all(isinstance(message, Mapping) for message in messages):
        raise TemplateError("messages must be a list of objects")
    options = body.get("chat_template_kwargs") or {}
    continued = bool(body.get("continue_final_message", False))
    generation = bool(body.get("add_generation_prompt", True)) and not continued
    flat = [_flatten(message) for message in messages]
    variables = {
        **{name: value for name, value in options.items() if name not in _RESERVED},
        "messages": flat,
        "tools": body.get("tools") if body.get("tool_choice") != "none" else None,
        "add_generation_prompt": generation,
    }
    try:
        text = _template(model.chat_template).render(variables)
    except (jinja2.TemplateError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise TemplateError(str(error)) from None
    return _cut_behind(text, flat[-1]["content"]) if continued and flat else text


_RESERVED = frozenset({"messages", "tools", "documents", "add_generation_prompt"})


def _flatten(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message as templates expect it: content as text, tool-call arguments as objects (vLLM does the same)."""
    flat = dict(message)
    flat["content"] = _text_of(message.get("content"))
    calls = message.get("tool_calls")
    if isinstance(calls, Sequence) and not isinstance(calls, str):
        flat["tool_calls"] = [_call(call) for call in calls if isinstance(call, Mapping)]
    return flat


def _text_of(content: Any) -> str:
    """Content parts are joined by newlines; parts without text print nothing."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise TemplateError("content must be a text or a list of parts")
    return "\n".join(text for part in content if (text := _part_text(part)) is not None)


def _part_text(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        for name in ("text", "refusal"):
            if isinstance(text := part.get(name), str):
                return text
    return None


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    function = dict(function) if isinstance(function, Mapping) else {}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            function["arguments"] = json.loads(arguments) if arguments else {}
        except (ValueError, RecursionError):
            function["arguments"] = arguments
    return {**call, "function": function}


def _cut_behind(text: str, content: str) -> str:
    """The prompt up to the end of the last message's content, for the model to go on from there."""
    content = content.strip()
    at = text.rfind(content)
    return text if at < 0 else text[: at + len(content)]


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers prints it: jinja2's own filter escapes HTML, which no model was trained on."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@lru_cache(maxsize=64)
def _template(source: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    return environment.from_string(source)


@lru_cache(maxsize=64)
def _overhead_bytes(model: Model) -> int:
    bare: dict[str, Any] = {"messages": []}
    tools = [{"type": "function", "function": {}}]
    return max(len(render(model, body).encode()) for body in (bare, {**bare, "tools": tools}))
