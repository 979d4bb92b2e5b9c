"""Values that lie: objects that equal whatever they are compared with, or say they are what they are not.

Every operand of the tests' comparisons and assertions is looked at first. A value of a type that existed before the
candidate did is trusted; another one is compared with fresh objects that nothing honest equals.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Collection
from typing import Any

_BASES: tuple[type, ...] = (str, int, float, list, tuple, dict, set, bytes)
_MOST_ELEMENTS, _DEEPEST = 2000, 4


class Lie(BaseException):
    """No `Exception`, so that a test that expects one does not swallow it."""


class _Nothing:
    """Equals itself only."""


class Looking:
    """`look` gives back its value, or raises Lie."""

    def __init__(self, known: Collection[type]) -> None:
        self._known = known
        self._random = random.SystemRandom()

    def look(self, value: Any) -> Any:
        left = [_MOST_ELEMENTS]
        self._look(value, 0, left)
        return value

    def _look(self, value: Any, depth: int, left: list[int]) -> None:
        left[0] -= 1
        kind = type(value)
        if kind in (list, tuple, set, frozenset, dict):
            if depth < _DEEPEST:
                for one in [*value, *(value.values() if kind is dict else ())][: max(left[0], 0)]:
                    self._look(one, depth + 1, left)
        elif kind not in self._known:
            self._probe(value, kind)
        elif kind.__name__ == "_ANY":
            raise Lie("unittest.mock.ANY in an answer")
        elif kind.__name__ == "ndarray" and value.dtype.hasobject and value.size <= _MOST_ELEMENTS:
            self._look(value.ravel().tolist(), depth + 1, left)
        elif kind.__name__ in ("DataFrame", "Series") and value.size <= _MOST_ELEMENTS:
            self._look(value.to_numpy(dtype=object).ravel().tolist(), depth + 1, left)

    def _probe(self, value: Any, kind: type) -> None:
        name = f"a value of class {str(kind.__name__)[:100]}"
        if not _is_mock(kind) and _truly(lambda: value.__class__ is not kind):
            raise Lie(f"{name} says that it is of another class")
        base: Any = next((one for one in _BASES if one in type.mro(kind)), None)
        for fresh in (_Nothing(), *self._decoys()):
            if _truly(lambda: value == fresh) or _truly(lambda: fresh == value):  # noqa: B023
                raise Lie(f"{name} equals what was made this moment")
            if _truly(lambda: not (value != fresh)):  # noqa: B023
                raise Lie(f"{name} differs from nothing")
            if type(fresh) is base and _truly(lambda: value < fresh and value > fresh):  # noqa: B023
                raise Lie(f"{name} is less and more than another")
        if base in (str, list, tuple, dict, set, bytes) and _truly(lambda: len(value) != base.__len__(value)):
            raise Lie(f"{name} says that it is of another length")

    def _decoys(self) -> tuple[Any, ...]:
        number = self._random.getrandbits(80)
        text = f"{number:x}"
        return text, number, number / 7, [text, number], (number, text), {text: number}, {text}, text.encode()


def _is_mock(kind: type) -> bool:
    return any(one.__module__ == "unittest.mock" for one in type.mro(kind))


def _truly(ask: Callable[[], Any]) -> bool:
    """Whether it says so, as a plain truth; arrays and whatever raises say nothing."""
    try:
        return ask() is True
    except Exception:
        return False


class _Operands(ast.NodeTransformer):
    """Wraps what is compared, and what assertions are given, in calls of the function `name`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if not _names_any(node):
            node.left = self._wrapped(node.left)
            node.comparators = [self._wrapped(one) for one in node.comparators]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if called.startswith("assert") and not called.startswith("assertRaises") and not _names_any(node):
            node.args = [one if isinstance(one, ast.Starred) else self._wrapped(one) for one in node.args]
        return node

    def _wrapped(self, node: ast.expr) -> ast.expr:
        if isinstance(node, (ast.Constant, ast.Lambda)):
            return node
        call = ast.Call(ast.Name(self._name, ast.Load()), [node], [])
        return ast.fix_missing_locations(ast.copy_location(call, node))


def _names_any(node: ast.AST) -> bool:
    return any(getattr(one, "id", "") == "ANY" or getattr(one, "attr", "") == "ANY" for one in ast.walk(node))


def looking(tests: ast.Module, name: str) -> ast.Module:
    """The tests, with a call of `name` around every operand that an outcome may depend on."""
    tree: ast.Module = _Operands(name).visit(tests)
    return tree
