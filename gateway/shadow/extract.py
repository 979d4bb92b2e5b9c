"""The code in a model's answer, cut out as bigcodebench 0.2.5's ``sanitize`` does it, so that verdicts can be compared.

Two steps. First the longest run of lines that parses: of all runs of at least two lines, the one with the most lines
that are not blank; of equals the one that starts first, then the one that ends first; the first line if there is none.
Then what the tests may need of it: imports, and of the undecorated functions, classes and assignments at its top level
(of each name the first) those that the entry point reaches by names; the rest (guards, calls, loops) goes.

The original tries every pair of lines, which takes hours for a long answer. Here most pairs are settled without trying:
a statement that is complete stays so whatever follows, and an error stays an error whatever follows.
"""

from __future__ import annotations

import ast
import re
import warnings
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

# What may be handed to the parser in one piece (trees take many times the text's memory) and in all, in characters;
# a call, and a line in a tree, cost as much as so many more.
_LARGEST_PIECE = 400_000
_ALL_PIECES = 60_000_000
_COST_OF_A_CALL, _COST_OF_A_LINE = 100, 150
_FIRST_LINES, _MOST_LINES = 2, 512

# Python's own flag (as in `codeop`): an error that more text could mend is told apart, as "incomplete input".
_ALLOW_INCOMPLETE_INPUT = 0x4000

_INDENTED = re.compile(r"[ \t]+[^ \t\f\r#\\]")
_TRY = re.compile(r"\s*try\s*(:|\\|$)")
_NEWLINE = re.compile(rb"\r\n|\r|\n")
_COMMENT_BESIDE = re.compile(rb"[ \t\f]*#[^\n]*")
_COMMENT_BELOW = re.compile(rb"\s*\n([ \t]*)#[^\n]*")


def extract(answer: str, entry_point: str | None) -> str:
    """The code of ``answer`` that ``entry_point`` needs (all definitions if None); never raises, work is bounded.

    What has no definitions comes back as its longest run of lines that parses, and what has no such run as its first
    line. Lone surrogates, which no file can hold, become question marks. Python's warnings are off meanwhile.
    """
    answer = answer.encode(errors="replace").decode()
    stripped = answer.strip()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = _longest_run(stripped.split("\n"))
        if code := _needed(lines, entry_point or None).strip():
            return code
        return "\n".join(lines if answer == stripped else _longest_run(answer.split("\n")))


class _Failure(NamedTuple):
    """Why a run of lines does not parse: any run from the same start that holds ``line`` fails too."""

    line: int
    message: str = ""
    final: bool = True
    too_deep: bool = False


class _Piece(NamedTuple):
    """Whole statements on the lines ``first`` to ``last``; the parser's row 1 is row ``above`` + 1 of all the lines."""

    body: Sequence[ast.stmt]
    first: int
    last: int
    above: int


class _Exhausted(Exception):
    """More work than an answer is worth."""


@dataclass(frozen=True)
class _Run:
    first: int
    last: int
    piece: int  # where the last piece begins, so that the run's end can be tried without the rest


def _longest_run(lines: list[str]) -> list[str]:
    source = _Source(lines)
    best = _Run(0, 0, 0)
    filled = array("q", accumulate((bool(line.strip()) for line in lines), initial=0))
    known = bytearray(len(lines))  # starts that share their end with an earlier one, and so lose to it
    try:
        for first in range(len(lines) - 1):
            most = filled[best.last + 1] - filled[best.first] if best.last else 0
            if filled[-1] - filled[first] <= most:
                break
            if known[first] or _INDENTED.match(lines[first]):
                continue
            for piece in source.pieces(first):
                source.mark_starts(piece, known)
                if piece.last > first and filled[piece.last + 1] - filled[first] > most:
                    best = _Run(first, piece.last, piece.first)
    except _Exhausted:
        pass
    return lines[best.first : source.shortest(best, filled) + 1]


class _Source:
    """Lines that may be code; parses runs of them (given by first and last line, counted from 0)."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._left = _ALL_PIECES
        self._sizes = array("q", accumulate((len(line) + 1 for line in lines), initial=0))
        # The parser counts a lone carriage return as the end of a line.
        self._rows = array("q", accumulate((1 + line[:-1].count("\r") for line in lines), initial=0))
        self._unparsable = [number for number, line in enumerate(lines) if "\0" in line] + [len(lines)]

    def pieces(self, first: int) -> Iterator[_Piece]:
        """The longest run from ``first`` that parses, a few statements at a time; nothing if there is none."""
        end = self._unparsable[bisect_right(self._unparsable, first - 1)]
        count = _FIRST_LINES
        while first < end:
            allowed = bisect_right(self._sizes, self._sizes[first] + _LARGEST_PIECE) - 1
            stop = min(first + count, end, allowed)
            body, last, final = self._longest_from(first, stop - 1, at_end=stop in (end, allowed))
            complete = len(body) if final else _complete(body)
            if final or complete:
                last = last if final else self._line(first, body[complete - 1].end_lineno or 0)
                if last >= first:
                    yield _Piece(body[:complete], first, last, self._rows[first])
                first = last + 1
            if final:
                return
            count = min(count * 2, _MOST_LINES) if complete else count * 2

    def mark_starts(self, piece: _Piece, starts: bytearray) -> None:
        """Mark the lines where a statement of the piece begins, and the blank lines and comments between them."""
        after = piece.first
        for statement in piece.body:
            decorators = getattr(statement, "decorator_list", [])
            heads = [self._line(piece.first, node.lineno) for node in (*decorators, statement)]
            for line in (*range(after, heads[0] + 1), *heads):
                if line >= after:
                    starts[line] = True
            after = self._line(piece.first, statement.end_lineno or 0) + 1
        for line in range(after, piece.last + 1):
            starts[line] = True

    def shortest(self, run: _Run, filled: Sequence[int]) -> int:
        """The first end of the run that leaves off blank lines alone. (A backslash may make it need one.)"""
        last = run.last
        while last > run.first + 1 and filled[last] == filled[run.last + 1]:
            last -= 1
        self._left = _ALL_PIECES
        while last < run.last and isinstance(self._parse(run.piece, last), _Failure):
            last += 1
        return last

    def _longest_from(self, first: int, last: int, *, at_end: bool) -> tuple[list[ast.stmt], int, bool]:
        """The statements of the longest run that parses, its last line, and whether more lines could change it."""
        parsed = self._parse(first, last, may_go_on=not at_end)
        final = at_end or (isinstance(parsed, _Failure) and parsed.final)
        while isinstance(parsed, _Failure):
            last = self._before(first, last, parsed)
            if last < first:
                return [], last, final
            parsed = self._parse(first, last)
        return parsed, last, final

    def _before(self, first: int, last: int, failure: _Failure) -> int:
        """The next shorter run that may parse: its last line."""
        if failure.too_deep:
            shallow = first - 1
            while last - shallow > 1:
                middle = (shallow + last) // 2
                parsed = self._parse(first, middle)
                if isinstance(parsed, _Failure) and parsed.too_deep:
                    last = middle
                else:
                    shallow = middle
            return shallow
        before = min(last, failure.line) - 1
        if failure.message.startswith("expected 'except'"):  # all lines since that `try` need it
            while before >= first and not _TRY.match(self._lines[before + 1]):
                before -= 1
        return before

    def _parse(self, first: int, last: int, *, may_go_on: bool = False) -> list[ast.stmt] | _Failure:
        self._left -= self._sizes[last + 1] - self._sizes[first] + _COST_OF_A_CALL
        if self._left < 0:
            raise _Exhausted
        text = "\n".join(self._lines[first : last + 1])
        flags = ast.PyCF_ONLY_AST | (_ALLOW_INCOMPLETE_INPUT if may_go_on else 0)
        try:
            tree = compile(text, "<answer>", "exec", flags, dont_inherit=True)
        except SyntaxError as error:
            line = last if error.lineno is None else self._line(first, max(error.lineno, 1))
            return _Failure(line, error.msg, final=error.msg != "incomplete input")
        except (RecursionError, MemoryError):
            return _Failure(last, too_deep=True)
        except (ValueError, OverflowError):
            return _Failure(last)
        assert isinstance(tree, ast.Module)
        self._left -= (last + 1 - first) * _COST_OF_A_LINE
        return tree.body

    def _line(self, first: int, row: int) -> int:
        """The line (from 0) that the parser means by ``row`` (from 1) when its text starts with line ``first``."""
        return min(bisect_right(self._rows, self._rows[first] + row - 1), len(self._lines)) - 1


def _complete(body: Sequence[ast.stmt]) -> int:
    """How many statements end before the line on which the last one, which may go on, starts."""
    return next((n for n in range(len(body) - 1, 0, -1) if body[n].lineno > (body[n - 1].end_lineno or 0)), 0)


def _needed(lines: list[str], entry_point: str | None) -> str:
    """The imports and definitions that the entry point reaches, of lines that parse."""
    imports: list[str] = []
    definitions: dict[str | None, tuple[str, set[str]]] = {}
    text = "\n".join(lines).encode()
    rows = [0, *(newline.end() for newline in _NEWLINE.finditer(text))]
    try:
        for piece in _Source(lines).pieces(0):
            for statement in piece.body:
                if _is_import(statement):
                    imports.append(_cut(text, rows, piece.above, statement))
                elif _is_definition(statement) and (name := _name(statement)) not in definitions:
                    definitions[name] = _cut(text, rows, piece.above, statement), _identifiers(statement)
    except _Exhausted:
        pass
    if entry_point is None:
        return "\n".join([*imports, *(text for text, _ in definitions.values())])
    reached, queue = {entry_point}, [entry_point]
    while queue:
        _, used = definitions.get(queue.pop(), ("", set()))
        queue += used - reached
        reached |= used
    return _without_outer_mentions(
        "\n".join([*imports, *(text for name, (text, _) in definitions.items() if name in reached)]), entry_point
    )


def _is_import(statement: ast.stmt) -> bool:
    """The original's grammar has a kind of its own for ``from __future__``, which it does not keep."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module != "__future__" or statement.level > 0
    return isinstance(statement, ast.Import)


def _is_definition(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return not statement.decorator_list
    return isinstance(statement, ast.Assign | ast.AnnAssign)


def _name(statement: ast.stmt) -> str | None:
    """Of an assignment the first plain name among its sides, be it the value: ``a.b = c`` is known as c."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return statement.name
    sides: list[ast.expr | None] = []
    if isinstance(statement, ast.Assign):
        # `a.b = c = d` is an assignment within one: only its last one has a value of its own beside the target.
        sides = [statement.targets[0], *([statement.value] if len(statement.targets) == 1 else [])]
    elif isinstance(statement, ast.AnnAssign):
        sides = [statement.target, statement.value]
    return next((side.id for side in sides if isinstance(side, ast.Name)), None)


def _identifiers(statement: ast.stmt) -> set[str]:
    """Every name in the statement, whatever it stands for: variables, attributes, parameters, keywords, modules."""
    found: set[str] = set()
    for node in ast.walk(statement):
        for _, value in ast.iter_fields(node):
            if isinstance(node, ast.Constant):
                continue
            for name in value if isinstance(value, list) else (value,):
                if isinstance(name, str):
                    found.update(name.split("."))
    return found


def _cut(text: bytes, rows: Sequence[int], above: int, node: ast.stmt) -> str:
    """The statement's text, with the comments after it that a reader would count to its body."""
    start = rows[above + node.lineno - 1] + node.col_offset
    end = rows[above + (node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
    for first in getattr(node, "body", [])[:1]:
        row = rows[above + first.lineno - 1]
        indentation = text[row : row + first.col_offset]
        if indentation.strip():  # the body is on the head's line
            break
        beside = _COMMENT_BESIDE.match(text, end)
        end = beside.end() if beside else end
        while (below := _COMMENT_BELOW.match(text, end)) and _width(below[1]) >= _width(indentation):
            end = below.end()
    return text[start:end].decode()


def _width(indentation: bytes) -> int:
    return len(indentation) + 7 * indentation.count(b"\t")


def _without_outer_mentions(code: str, entry_point: str) -> str:
    """Without the unindented lines at the end from the first on that names the entry point.

    So the original drops calls that are left, and with them functions on one line or indented by tabs.
    """
    lines = code.splitlines()
    first = len(lines)
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith(" "):
            break
        if entry_point in lines[number]:
            first = number
    return code if first == len(lines) else "\n".join(lines[:first])
