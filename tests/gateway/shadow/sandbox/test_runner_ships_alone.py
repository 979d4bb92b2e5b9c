"""What runs behind the walls imports the standard library and itself: it runs under another Python, without us."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import gateway.shadow.sandbox.runner as runner

FOLDER = Path(runner.__file__).parent
SOURCES = sorted(FOLDER.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_only_the_standard_library(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            depth = len(path.relative_to(FOLDER).parts)  # `from .` is this folder, and each further dot one above it
            assert node.level <= depth, f"line {node.lineno} reaches out of the runner"
    assert imported <= sys.stdlib_module_names


def test_there_is_something_to_look_at() -> None:
    assert {"server.py", "seccomp.py", "landlock.py"} <= {path.name for path in SOURCES}
