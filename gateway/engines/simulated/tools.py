"""Values that satisfy a JSON schema, and tool calls made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.engines.simulated.wire import ChatRequest, ResponseFormat, Tool

_MAX_DEPTH = 12
_WORDS = re.compile(r"\w{3,}")
_NAMES = re.compile(r"['\"]([^'\"]+)['\"]|(?<!^)(?<![.?!] )\b([A-Z][\w-]*)")


@dataclass(frozen=True)
class ToolCall:
    """A call as the model writes it: ``head`` holds ``name``, and ``arguments`` follow it."""

    name: str
    arguments: str

    @property
    def named(self) -> str:
        """Up to where the name is known."""
        return '<tool_call>\n{"name": ' + _json(self.name)

    @property
    def head(self) -> str:
        return f'{self.named}, "arguments": '

    @property
    def text(self) -> str:
        return f"{self.head}{self.arguments}}}\n</tool_call>"


def tool_call(request: ChatRequest, asked: str) -> ToolCall | None:
    """The call that answers this request, or None for an answer in words.

    ``required`` and a named tool always call. ``auto`` calls when the question shares a word with a tool's name or
    description, and not when it has just been given a tool's result.
    """
    if not request.tools or request.tool_choice in (None, "none"):
        return None
    if request.named_tool is not None:
        tool = next(tool for tool in request.tools if tool.function.name == request.named_tool)
    elif request.tool_choice == "required":
        tool = max(request.tools, key=lambda tool: _shared_words(tool, asked))
    else:
        tool = max(request.tools, key=lambda tool: _shared_words(tool, asked))
        answered = bool(request.messages) and request.messages[-1].get("role") == "tool"
        if answered or not _shared_words(tool, asked):
            return None
    return ToolCall(tool.function.name, _json(example(tool.function.parameters or {}, asked)))


def schema_of(form: ResponseFormat | None) -> dict[str, Any] | None:
    """The JSON schema that an answer must satisfy, or None where text is free."""
    if form is not None and form.type == "json_schema":
        schema = (form.json_schema or {}).get("schema")
        return schema if isinstance(schema, dict) else {}
    if form is not None and form.type == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    return None


def example_text(schema: dict[str, Any], asked: str) -> str:
    return _json(example(schema, asked))


def example(schema: Any, asked: str = "", root: Any = None, depth: int = 0) -> Any:
    """A value that satisfies ``schema`` (the common subset: types, enums, bounds, references, alternatives)."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    if "$ref" in schema:
        return example(_resolve(schema["$ref"], root), asked, root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return example(schema[key][0], asked, root, depth + 1)
    if schema.get("allOf"):
        return example(_merged(schema["allOf"], root), asked, root, depth + 1)
    return _of_type(schema, asked, root, depth)


def _of_type(schema: dict[str, Any], asked: str, root: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema or not schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties") or {}
        names = list(properties)
        if depth > 3:  # a schema may contain itself: deep down only what is required
            names = [name for name in properties if name in schema.get("required", ())]
        return {name: example(properties[name], asked, root, depth + 1) for name in names}
    if kind == "array":
        size = max(schema.get("minItems", 1 if depth <= 3 else 0), 0)
        return [example(schema.get("items", {"type": "string"}), asked, root, depth + 1) for _ in range(size)]
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    return None if kind == "null" else _string(schema, asked)


def _number(schema: dict[str, Any], *, whole: bool) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    if low is not None:
        return low + 1 if "exclusiveMinimum" in schema and "minimum" not in schema and whole else _above(schema, low)
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    value = 1 if high is None or high > 1 else high - 1
    return value if whole else float(value)


def _above(schema: dict[str, Any], low: float) -> float:
    return low if "minimum" in schema else low + 0.5


def _string(schema: dict[str, Any], asked: str) -> str:
    named = [quoted or name for quoted, name in _NAMES.findall(asked)]
    formats = {"date": "2025-01-31", "date-time": "2025-01-31T12:00:00Z", "uri": "https://example.org/"}
    value = formats.get(schema.get("format", "")) or (named[-1] if named else "example")
    value = value.ljust(schema.get("minLength", 0), "x")
    return value[: schema.get("maxLength", len(value))]


def _resolve(reference: str, root: Any) -> Any:
    node = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        node = node.get(part.replace("~1", "/").replace("~0", "~"), {}) if part and isinstance(node, dict) else node
    return node


def _merged(parts: list[Any], root: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        part = _resolve(part["$ref"], root) if "$ref" in part else part
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        merged = {**merged, **part, **({"properties": properties} if properties else {})}
    return merged


def _shared_words(tool: Tool, asked: str) -> int:
    described = f"{tool.function.name.replace('_', ' ')} {tool.function.description or ''}"
    return len(_words(described) & _words(asked))


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(text)}


def _json(value: Any) -> str:
    """JSON as models write it: a space after colons and commas."""
    return (
        msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
        if not isinstance(value, str)
        else _quoted(value)
    )


def _quoted(value: str) -> str:
    return msgspec.json.encode(value).decode()
