"""Fill-in-the-middle: a prompt in a family's format gets code that fits where its prefix ends, and nothing else.

A prompt is one of these if it holds the marker behind which the middle is written; which family's does not matter.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator

_PREFIX = re.compile(r"<\|(?:fim|code)_prefix\|>")
_MIDDLE = re.compile(r"<\|(?:fim|code)_middle\|>")
_MARK = re.compile(r"<\|(?:fim|code)_(?:prefix|suffix|middle)\|>")
_ONE_LINE = re.compile(r"^###MODE:LINE\s*$", re.MULTILINE)  # CodeGeeX4's request for a single line


def prefix_of(prompt: str) -> str | None:
    """The code before the gap, or None if this is no such prompt."""
    if not _MIDDLE.search(prompt):
        return None
    parts = _PREFIX.split(prompt)
    return _MARK.split(parts[-1])[0] if len(parts) > 1 else ""


def middle(prompt: str, code: str) -> str:
    """What ``code`` lends to the gap of ``prompt``: statements at the depth at which its prefix ends."""
    prefix = prefix_of(prompt) or ""
    line = prefix.rpartition("\n")[2]
    depth = line[: len(line) - len(line.lstrip())]
    body, value = _lent(code)
    if line.strip() and not line.rstrip().endswith(":"):
        return value  # the gap opens inside a line: an expression
    if line.strip():
        depth += "    "
        text = "\n" + textwrap.indent(body, depth)
    else:
        text = textwrap.indent(body, depth)[len(depth) :]
    return text.lstrip("\n").partition("\n")[0] if _ONE_LINE.search(prompt) else text


def _lent(code: str) -> tuple[str, str]:
    """The body of the last function of ``code`` that ends in a value, and that value."""
    *_, (statements, value) = _functions(code)
    first, last = statements[0], statements[-1]
    lines = code.splitlines()[first.lineno - 1 : last.end_lineno]
    return textwrap.dedent("\n".join(lines)), ast.unparse(value)


def _functions(code: str) -> Iterator[tuple[list[ast.stmt], ast.expr]]:
    yield list(ast.parse("result = None\n").body), ast.Constant(None)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            statements = node.body[1:] if ast.get_docstring(node) else node.body
            if statements and isinstance(statements[-1], ast.Return) and statements[-1].value is not None:
                yield statements, statements[-1].value
