"""An upper bound, in UTF-8 bytes, of what a chat template prints of a request, without rendering it.

What makes the raw JSON of ``messages`` a bound: JSON never encodes a text in fewer bytes than its UTF-8, and the
punctuation of one message (``{"role":"","content":""}``) is longer than what a template adds to an ordinary message.
Two things are printed longer than they came: tool messages and tool calls (whose wrapping is longer than the JSON's),
and JSON values that a template prints anew (a tool's missing fields as null; `tojson` puts a blank behind commas and
colons, and writes 1e15 as 1000000000000000.0: at most 4 times the bytes).
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

import msgspec

from gateway.families import TemplateError, known_tools

_WRAP = 80  # bytes that a template adds to one tool message or tool call beyond the JSON around it
_REPRINTED = 5  # times the bytes that JSON can grow when it is printed anew
_UNREAD = 40 * 1024  # bytes beyond every short window: not worth reading them for a better bound
_ANYTHING = 16  # times the bytes of any messages: the shortest tool message, 15 bytes, prints as 5 x 15 + 80
_EXACT_FROM = 2048  # bytes of tools from which printing them once is worth it
_CACHED_TO = 256 * 1024
_escaped_ascii = re.compile(rb"\\u00[2-7]").search


def text_bound(messages: bytes, tools: bytes | None = None) -> int:
    """The bound for the raw JSON values of ``messages`` and ``tools``. Under a microsecond without tools."""
    bound = len(messages)
    if bound > _UNREAD:
        bound *= _ANYTHING
    elif b'"tool' in messages or (b"\\u00" in messages and _escaped_ascii(messages)):
        bound = _REPRINTED * len(messages) + _WRAP * messages.count(b"{")
    if tools:
        bound += tools_bound(tools)
    return bound


def tools_bound(tools: bytes) -> int:
    """Bytes as which the tools are printed: exact (and remembered) for large ones, 5 times their JSON for small."""
    if not _EXACT_FROM <= len(tools) <= _CACHED_TO:
        return _REPRINTED * len(tools)
    return _printed(tools)


@lru_cache(maxsize=32)
def _printed(tools: bytes) -> int:
    try:
        known = known_tools(msgspec.json.decode(tools)) or []
        printed = json.dumps(known, ensure_ascii=False)
        return len(printed.encode("utf-8", "replace"))
    except (TemplateError, msgspec.DecodeError, ValueError, RecursionError):
        return _REPRINTED * len(tools)
