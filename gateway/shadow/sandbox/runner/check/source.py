"""What the trusted sources, a task's prelude and tests, say before anything of them is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

_UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


class Imports(NamedTuple):
    """`modules`: all that are imported, dotted. `statements`: the source's own top-level imports, as a source."""

    modules: frozenset[str]
    statements: str


def imports(source: str) -> Imports:
    try:
        tree = ast.parse(source)
    except _UNPARSABLE:
        return Imports(frozenset(), "")
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module)
    statements = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom)) and not _future(node)]
    return Imports(frozenset(modules), "\n".join(ast.unparse(node) for node in statements))


def attributes(source: str) -> frozenset[str]:
    """Every attribute that the source names."""
    try:
        return frozenset(node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    except _UNPARSABLE:
        return frozenset()


def _future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


class Words(NamedTuple):
    """Of tests: names they use, and attributes as well; names bound at top level; names and attributes they change."""

    names: frozenset[str]
    used: frozenset[str]
    bound: frozenset[str]
    changed: frozenset[str]


def words(tree: ast.Module) -> Words:
    names: set[str] = set()
    used: set[str] = set()
    changed: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
            if not isinstance(node.ctx, ast.Load):
                changed.add(node.attr)
        elif isinstance(node, ast.Global):
            changed.update(node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            changed.update(_patched(node.value))
    return Words(frozenset(names), frozenset(used | names), frozenset(_bound(tree)), frozenset(changed))


def _patched(text: str) -> Iterator[str]:
    """The last part of what may be a dotted name, as in `patch("os.path.exists")` or `patch.object(os, "exists")`."""
    last = text.rpartition(".")[2]
    if last.isidentifier():
        yield last


def _bound(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name.partition(".")[0]) for alias in node.names)
