"""What a family of models is to the gateway, and how its chat template turns a conversation into text.

Templates are rendered to count, exactly as model servers render them (transformers' rules); only our own templates
ever are, never one that a client sends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.families.architecture import Architecture
from gateway.families.conversation import TemplateError, conversation, known_tools
from gateway.families.infill import FimFormat
from gateway.families.serving import Serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model and everything about it that its family decides.

    ``chat_template``: None for a base model, which does not chat. ``fim``: None if it can't fill in the middle.
    ``native_window``: tokens the model was made for. ``pool_window``: a pool's default, prompt and output together.
    ``special_tokens``: texts that its tokenizer reads as one token each. ``defaults``: request fields for what the
    client left out. ``expansion``: most tokens a UTF-8 byte can become with the family's own tokenizer, for when no
    tokenizer file says so (None: unknown). ``bytes_per_token``: where the estimate starts before anything is learned.
    ``calls_tools``: whether servers that do not tell are taken to have a tool parser for its format.
    ``architecture``: None if it is not known here, and then no memory can be planned. ``serving``: what a vLLM server
    of it is started with.
    """

    name: str
    family: str
    hub_id: str
    native_window: int
    pool_window: int
    chat_template: str | None
    special_tokens: tuple[str, ...]
    expansion: int | None
    bytes_per_token: float
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fim: FimFormat | None = None
    calls_tools: bool = False
    architecture: Architecture | None = None
    serving: Serving = field(default_factory=Serving)

    @property
    def overhead_bytes(self) -> int:
        """Most UTF-8 bytes that the template adds around a conversation, tools preamble included.

        What it adds per message is not in here: `gateway.tokens.bound.text_bound` sees to it.
        """
        return _overhead_bytes(self)


def render(model: Model, body: Mapping[str, Any]) -> str:
    """The prompt of a chat body: its ``messages``, ``tools`` and template options (OpenAI's and vLLM's fields).

    Raises TemplateError where ``messages`` or ``tools`` are not what a template can print.
    """
    if model.chat_template is None:
        raise TemplateError(f"{model.name} is a base model and does not chat")
    options = body.get("chat_template_kwargs") or {}
    if not isinstance(options, Mapping):
        raise TemplateError("chat_template_kwargs must be an object")
    continued = flag(body, "continue_final_message", default=False)
    generation = flag(body, "add_generation_prompt", default=True)
    if continued and generation:
        raise TemplateError("continue_final_message needs add_generation_prompt to be false")
    template = model.chat_template
    flat = conversation(body.get("messages"), knows_developer="'developer'" in template or '"developer"' in template)
    if continued:
        _mark_end(flat)
    variables = {
        **{name: value for name, value in options.items() if name not in _RESERVED},
        "messages": flat,
        "tools": known_tools(body.get("tools")),  # with tool_choice "none" too, as vLLM does by default
        "add_generation_prompt": generation,
    }
    try:
        text = _template(template).render(variables)
        return text[: text.rindex(_END)] if continued else text
    except (jinja2.TemplateError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise TemplateError(str(error)) from None


_RESERVED = frozenset({"messages", "tools", "documents", "add_generation_prompt"})
_END = "\ue000the end of the message that is continued\ue000"


def flag(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Raises TemplateError for what is no boolean."""
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise TemplateError(f"{name} must be true or false")
    return value


def _mark_end(messages: list[dict[str, Any]]) -> None:
    """Marks where the last message's content ends: what the template prints behind it is cut off."""
    if not messages:
        raise TemplateError("there is no message to continue")
    messages[-1] = {**messages[-1], "content": messages[-1]["content"] + _END}


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
    if model.chat_template is None:
        return 0
    bare: dict[str, Any] = {"messages": []}
    tool = {"type": "function", "function": {"name": ""}}
    return max(len(render(model, body).encode()) for body in (bare, {**bare, "tools": [tool]}))
