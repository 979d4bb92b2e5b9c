"""The headers of functions and classes in a text: a name with its parameters is what a task's tests call.

BigCodeBench calls every entry point `task_func`, so there the parameters tell tasks apart. Two headers are the same if
they have the same names of parameters in the same order with the same defaults; annotations, the type of the result,
white space, comments, the kind of quotes and a comma at the end say nothing to a caller. A class is its name.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import NamedTuple

_MOST = 8
_LONGEST_HEADER = 2_000

_HEAD = re.compile(r"(?<![\w.])(?<!async )(def|class)[ \t]+(\w+)[ \t]*([(:])")
_TOKEN = re.compile(
    r"(?P<nothing>\s+|\#[^\n]*|\\\n)"
    r"|(?P<prefix>[a-zA-Z]{0,2})(?P<quote>[\"'])(?P<string>(?:(?!(?P=quote))[^\\\n]|\\.)*+)(?P=quote)"
    r"|\w+|->|\*\*|.",
    re.DOTALL,
)
_DOCSTRING = re.compile(r"(?:\s|#[^\n]*)*+[rRuU]?(\"\"\"|''')")
_NO_BODY = re.compile(r"(?:\s|#[^\n]*|pass\b|\.\.\.|raise NotImplementedError\b[^\n]*)*+")
_DEEPER, _SHALLOWER = frozenset("([{"), frozenset(")]}")


class Signature(NamedTuple):
    name: str
    parameters: str


def signatures(text: str, names: Container[str]) -> Iterator[Signature]:
    """Those in `text` of functions and classes with one of these names that are left to be written, 8 at most.

    Written is one with more of a body than a docstring, comments, `pass`, `...` or `raise NotImplementedError`: who
    sends that asks about code that there is.
    """
    left = _MOST
    for head in _HEAD.finditer(text):
        kind, name, opening = head.groups()
        if name not in names:
            continue
        left -= 1
        if left < 0:
            return
        if kind == "class":
            yield Signature(name, "class")
        elif (
            opening == "(" and (header := _header(text, head.end())) and not _is_written(text, head.start(), header[1])
        ):
            yield Signature(name, header[0])


def signature_of(code: str, name: str) -> Signature | None:
    """Of the entry point in a task's own code, which ends with its header; None if it has none that can be read."""
    found = None
    for head in _HEAD.finditer(code):
        if head[2] == name and head[1] == "class":
            found = Signature(name, "class")
        elif head[2] == name and head[3] == "(" and (header := _header(code, head.end())):
            found = Signature(name, header[0])
    return found


def _header(text: str, start: int) -> tuple[str, int] | None:
    """The parameters without what says nothing to a caller, and where the header ends (behind its colon)."""
    depth, parameters, parameter, annotated = 1, list[str](), list[str](), False
    for token in _TOKEN.finditer(text, start, start + _LONGEST_HEADER):
        if token["nothing"] is not None:
            continue
        written = token[0] if token["string"] is None else f"{token['prefix'].lower()}'{token['string']}'"
        depth += (written in _DEEPER) - (written in _SHALLOWER)
        if depth == 0 or (depth == 1 and written == ","):
            parameters += [" ".join(parameter)] if parameter else []
            parameter, annotated = [], False
            if depth == 0:
                return _closed(text, token.end(), ", ".join(parameters))
        elif depth == 1 and written == ":" and "=" not in parameter:
            annotated = True
        elif not annotated or (depth == 1 and written == "="):
            parameter.append(written)
            annotated = False
    return None


def _closed(text: str, start: int, parameters: str) -> tuple[str, int] | None:
    """With the end of the header, whose result may have a type."""
    depth = 0
    for token in _TOKEN.finditer(text, start, start + _LONGEST_HEADER):
        depth += (token[0] in _DEEPER) - (token[0] in _SHALLOWER)
        if depth == 0 and token[0] == ":":
            return parameters, token.end()
    return None


def _is_written(text: str, start: int, end: int) -> bool:
    """Whether the function whose header is text[start:end] has a body that does something."""
    docstring = _DOCSTRING.match(text, end)
    if docstring:
        closing = text.find(docstring[1], docstring.end())
        if closing < 0:
            return False
        end = closing + 3
    body = _NO_BODY.match(text, end)
    place = body.end() if body else end
    if place == len(text) or text[place] == "`":
        return False
    line = text.rfind("\n", 0, place) + 1
    if line <= end:  # on the same line as the header or the docstring's end
        return docstring is None
    return _width(text, line, place) > _width(text, text.rfind("\n", 0, start) + 1, start)


def _width(text: str, line: int, place: int) -> int:
    """Of the indentation before `place`; 0 if something else stands there."""
    before = text[line:place].expandtabs()
    return 0 if before.strip() else len(before)
