"""The tests that a task's own source has: what a verdict is held against, and nothing that a candidate can touch."""

from __future__ import annotations

import ast
import threading
import warnings

_one_at_a_time = threading.Lock()
"""All threads share what catches warnings and, in 3.11.7, where it was seen, the parser's count of its depth. That
another had changed it ends in SystemError, as in https://github.com/python/cpython/issues/106905."""


def parsed(source: str) -> ast.Module:
    """Raises SyntaxError with what is wrong, whatever the parser raises. Python's warnings are not for our reader."""
    try:
        with _one_at_a_time, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError:
        raise
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error) or "nested too deeply") from None


def names_of_tests(module: ast.Module) -> tuple[str, ...]:
    """Methods `test...` of the class `TestCases`, in the order unittest runs them; () without such a class."""
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    return tuple(sorted(_methods("TestCases", classes, set())))


def _methods(name: str, classes: dict[str, ast.ClassDef], seen: set[str]) -> set[str]:
    """With those of base classes that the same source defines."""
    node = classes.get(name)
    if node is None or name in seen:
        return set()
    seen.add(name)
    found = {method for statement in node.body if (method := _method(statement)) and method.startswith("test")}
    return found.union(*(_methods(base.id, classes, seen) for base in node.bases if isinstance(base, ast.Name)))


def _method(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return statement.name
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda):
        return next((target.id for target in statement.targets if isinstance(target, ast.Name)), None)
    return None
