"""Wrong code made of right code: the small slips that models make, each a splice of the solution's own text.

A mutation leaves the rest of the text, its comments and its layout alone. What `mutations` returns always parses and
differs from the original as a syntax tree; that its behaviour differs too is likely, not certain: a test suite may miss
a slip, as it does for code from a model.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_COMPARISONS = {ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">")}
_OPERATORS: dict[type[ast.operator], str] = {ast.Sub: "-", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%"}

SlipKind = Literal[
    "off-by-one", "wrong-default", "swapped-arguments", "missing-edge-case", "wrong-return", "unfinished"
]


@dataclass(frozen=True)
class Mutation:
    """``solution`` is the whole mutated solution."""

    kind: SlipKind
    solution: str


@dataclass(frozen=True)
class _Splice:
    """Bytes ``start`` to ``end`` of the whole code become ``text``."""

    kind: SlipKind
    start: int
    end: int
    text: str


def mutations(prompt: str, solution: str) -> list[Mutation]:
    """Every mutation of ``solution``, which continues ``prompt``; never empty. Raises SyntaxError."""
    code = (prompt + solution).encode()
    tree = parse(code)
    original, first = ast.dump(tree), len(prompt.encode())
    found = []
    for splice in _splices(tree, _Source(code)):
        if splice.start < first:
            continue  # a signature is given, a model copies it
        mutated = code[: splice.start] + splice.text.encode() + code[splice.end :]
        if _differs(mutated, original):
            found.append(Mutation(splice.kind, mutated[first:].decode()))
    return found or [Mutation("unfinished", _unfinished(solution))]


def parse(code: bytes) -> ast.Module:
    """The syntax tree, without a word on what is only bad style. Raises SyntaxError or ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def _differs(code: bytes, original: str) -> bool:
    try:
        return ast.dump(parse(code)) != original
    except (SyntaxError, ValueError):
        return False


def _unfinished(solution: str) -> str:
    """A body that only says what is left to do, as deep as the solution's first line."""
    indentation = re.match(r"\s*", solution.lstrip("\n"))
    return f"{indentation[0] if indentation else ''}raise NotImplementedError\n"


class _Source:
    """The text between two places of a syntax tree, which counts lines from 1 and columns in bytes."""

    def __init__(self, code: bytes) -> None:
        self._code = code
        self._lines = [0]
        for line in code.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._lines[node.lineno - 1] + node.col_offset, self._lines[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.expr | ast.stmt) -> str:
        start, end = self.span(node)
        return self._code[start:end].decode()

    def between(self, left: ast.expr, right: ast.expr) -> tuple[int, int]:
        """From the end of one expression to the start of the next: where an operator stands."""
        return self.span(left)[1], self.span(right)[0]


def _splices(tree: ast.AST, source: _Source) -> Iterator[_Splice]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            yield from _compared(node, source)
        elif isinstance(node, ast.BinOp):
            yield from _computed(node, source)
        elif isinstance(node, ast.Subscript):
            yield from _indexed(node, source)
        elif isinstance(node, ast.Call):
            yield from _called(node, source)
        elif isinstance(node, ast.If):
            yield from _guarded(node, source)
        elif isinstance(node, ast.Return):
            yield from _returned(node, source)


def _replaced(kind: SlipKind, node: ast.expr | ast.stmt, text: str, source: _Source) -> _Splice:
    return _Splice(kind, *source.span(node), text)


def _compared(node: ast.Compare, source: _Source) -> Iterator[_Splice]:
    signs = _COMPARISONS.get(type(node.ops[0]))
    if len(node.ops) == 1 and signs is not None:
        yield _Splice("off-by-one", *source.between(node.left, node.comparators[0]), f" {signs[1]} ")


def _computed(node: ast.BinOp, source: _Source) -> Iterator[_Splice]:
    if isinstance(node.op, ast.Add | ast.Sub) and _whole_number(node.right) is not None:
        text = f"{source.text(node.left)} {'-' if isinstance(node.op, ast.Add) else '+'} {source.text(node.right)}"
        yield _replaced("off-by-one", node, text, source)
    sign = _OPERATORS.get(type(node.op))
    if sign is not None and not isinstance(node.left, ast.Constant):  # a constant on the left is a format string
        text = f"({source.text(node.right)}) {sign} ({source.text(node.left)})"
        yield _replaced("swapped-arguments", node, text, source)


def _indexed(node: ast.Subscript, source: _Source) -> Iterator[_Splice]:
    places = [node.slice.lower, node.slice.upper] if isinstance(node.slice, ast.Slice) else [node.slice]
    for place in places:
        number = _whole_number(place)
        if place is not None and number is not None:
            yield _replaced("off-by-one", place, str(number + 1), source)


def _called(node: ast.Call, source: _Source) -> Iterator[_Splice]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if name == "range" and node.args:
        last = node.args[min(len(node.args), 2) - 1]
        yield _replaced("off-by-one", last, f"{source.text(last)} - 1", source)
    if name == "get" and len(node.args) == 2 and _whole_number(node.args[1]) is not None:
        yield _replaced("wrong-default", node.args[1], "None", source)
    for keyword in node.keywords:
        text = _other_value(keyword.value)
        if text is not None:
            yield _replaced("wrong-default", keyword.value, text, source)
    if len(node.args) == 2 and not any(isinstance(argument, ast.Starred) for argument in node.args):
        start, end = source.span(node.args[0])[0], source.span(node.args[1])[1]
        yield _Splice("swapped-arguments", start, end, f"{source.text(node.args[1])}, {source.text(node.args[0])}")


def _guarded(node: ast.If, source: _Source) -> Iterator[_Splice]:
    """A check of an edge case: an `if` without an `else` that only leaves."""
    if not node.orelse and len(node.body) == 1 and isinstance(node.body[0], ast.Raise | ast.Return | ast.Continue):
        yield _replaced("missing-edge-case", node, "pass", source)


def _returned(node: ast.Return, source: _Source) -> Iterator[_Splice]:
    value = node.value
    if value is None or (isinstance(value, ast.Constant) and value.value is None):
        return
    if isinstance(value, ast.Tuple) and len(value.elts) > 1:
        elements = ", ".join(source.text(element) for element in reversed(value.elts))
        yield _replaced("wrong-return", value, f"({elements})", source)
    elif isinstance(value, ast.Compare | ast.BoolOp) or (
        isinstance(value, ast.Constant) and isinstance(value.value, bool)
    ):
        yield _replaced("wrong-return", value, f"not ({source.text(value)})", source)
    else:
        yield _replaced("wrong-return", node, source.text(value), source)  # forgets to return it


def _whole_number(node: ast.expr | None) -> int | None:
    """The value of an integer literal, with or without a sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _whole_number(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return None


def _other_value(node: ast.expr) -> str | None:
    """Another value of the same kind, for a keyword argument: a truth value or a number."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return str(not node.value)
    number = _whole_number(node)
    return None if number is None else str(number + 1)
