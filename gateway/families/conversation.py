"""A chat body's messages and tools as a template gets them: what vLLM 0.32 makes of them before it renders.

It reads every content as text, knows the fields of a tool and prints no others, and keeps tool calls of assistants
only. What it refuses is a TemplateError here: why is the model server's to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_TEXT_PARTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "thinking": "thinking",
}
_LEFT_OUT_IF_NULL = ("text", "refusal")
# A coding client begins its system prompt with a line of this name, which is another one in every request. vLLM drops
# the line, so that the prompt can be found in the prefix cache.
_DROPPED_LINE = "x-anthropic-billing-header"


class TemplateError(ValueError):
    """The conversation can't be rendered: the model server will refuse it as well."""


def conversation(messages: Any, *, knows_developer: bool) -> list[dict[str, Any]]:
    """``knows_developer``: the template has a word for that role. Otherwise those messages are the system's."""
    if not isinstance(messages, Sequence) or not all(isinstance(message, Mapping) for message in messages):
        raise TemplateError("messages must be a list of objects")
    flat = [_flatten(message) for message in messages]
    if knows_developer or all(message["role"] != "developer" for message in flat):
        return flat
    return _system_first([{**each, "role": "system"} if each["role"] == "developer" else each for each in flat])


def known_tools(given: Any) -> list[dict[str, Any]] | None:
    """Each tool with the fields that are known, in their order; a missing description is printed as null."""
    if given is None:
        return None
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise TemplateError("tools must be a list with at least one tool")
    return [_tool(tool) for tool in given]


def _tool(tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or tool.get("type", "function") != "function":
        raise TemplateError("a tool must be a function")
    name, description, parameters = (function.get(field) for field in ("name", "description", "parameters"))
    if not isinstance(name, str) or not isinstance(description, str | None):
        raise TemplateError("a function's name and description must be texts")
    if not isinstance(parameters, Mapping | None):
        raise TemplateError("a function's parameters must be an object")
    known = {"name": name, "description": description, "parameters": parameters}
    inner, deferred = function.get("defer_loading"), tool.get("defer_loading")
    optional = {"strict": function.get("strict"), "defer_loading": deferred if inner is None else inner}
    known |= {field: value for field, value in optional.items() if value is not None}
    whole = {"type": "function", "function": known}
    return whole if deferred is None else {**whole, "defer_loading": deferred}


def _flatten(message: Mapping[str, Any]) -> dict[str, Any]:
    role = message.get("role")
    if not isinstance(role, str):
        raise TemplateError("each message must have a role")
    flat = {name: value for name, value in message.items() if name != "tool_calls"}
    flat["content"] = _text_of(message.get("content"), system=role == "system")
    calls = message.get("tool_calls")
    if role == "assistant" and calls:
        if not isinstance(calls, Sequence) or isinstance(calls, str):
            raise TemplateError("tool_calls must be a list")
        flat["tool_calls"] = [_call(call) for call in calls]
    return flat


def _text_of(content: Any, *, system: bool) -> str:
    """Parts as lines. One without a text, be it null or empty, is left out."""
    if content is None:
        return ""
    if isinstance(content, str):
        return _without_dropped_line(content) if system else content
    if not isinstance(content, Sequence):
        raise TemplateError("content must be a text or a list of parts")
    return "\n".join(text for part in content if (text := _part_text(part, system=system)))


def _part_text(part: Any, *, system: bool) -> str:
    if isinstance(part, str):
        return _without_dropped_line(part) if system else part
    kind = part.get("type") if isinstance(part, Mapping) else None
    field = _TEXT_PARTS.get(kind) if isinstance(kind, str) else None
    if field is None:
        raise TemplateError(f"a content part must be a text, not {kind!r}")
    text = part.get(field)
    if text is None and field in _LEFT_OUT_IF_NULL:
        return ""
    if not isinstance(text, str):
        raise TemplateError(f"the {field} of a content part must be a text")
    return _without_dropped_line(text) if system and kind == "text" else text


def _without_dropped_line(text: str) -> str:
    return text.partition("\n")[2] if text.startswith(_DROPPED_LINE) else text


def _call(call: Any) -> dict[str, Any]:
    """Arguments become an object; what is no JSON object becomes an empty one, as a conversation has to go on."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or call.get("type", "function") != "function":
        raise TemplateError("a tool call must be of a function")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments else {}
        except ValueError:
            arguments = {}
        except RecursionError:
            raise TemplateError("arguments are nested too deeply") from None
    return {**call, "function": {**function, "arguments": arguments if isinstance(arguments, Mapping) else {}}}


def _system_first(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All system messages as one in front, unless the only one stands there already."""
    systems = [message["content"] for message in messages if message["role"] == "system"]
    if len(systems) == 1 and messages[0]["role"] == "system":
        return messages
    merged = {"role": "system", "content": "\n\n".join(filter(None, systems))}
    return [merged, *(message for message in messages if message["role"] != "system")]
