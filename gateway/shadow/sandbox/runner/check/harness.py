"""The surroundings that BigCodeBench's harness gives a program and its tests, as far as honest answers rely on them."""

from __future__ import annotations

import builtins
import io
import os
import subprocess
import sys
import types
from typing import Any

MODULE = "__test__"


def new_module() -> types.ModuleType:
    """The module that candidate and tests are run in."""
    module = types.ModuleType(MODULE)
    module.__dict__.update(
        __builtins__=builtins,
        __file__=f"{MODULE}.py",
        __package__=None,
        sys=sys,
        os=os,
        environ=os.environ,  # noqa: TID251 (as programs expect it there)
    )
    builtins.exit = builtins.quit = None  # type: ignore[assignment]
    return module


def load(source: Any, module: types.ModuleType) -> None:
    """Run a source, or the tree of one, in the module."""
    exec(compile(source, f"{MODULE}.py", "exec", dont_inherit=True), module.__dict__)


def run_import(statement: str, namespace: dict[str, Any]) -> None:
    """Bind what an import statement binds, if it can be had."""
    try:
        exec(compile(statement, f"{MODULE}.py", "exec", dont_inherit=True), namespace)
    except Exception:
        pass


class Swallowed(io.StringIO):
    """Standard streams of a program that is checked: take what is written, and can't be read."""

    def read(self, size: int | None = -1, /) -> str:
        raise OSError("no standard input")

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        raise OSError("no standard input")

    def readlines(self, hint: int = -1, /) -> list[str]:  # type: ignore[override]
        raise OSError("no standard input")

    def readable(self) -> bool:
        return False


def swallow_output() -> None:
    """Nothing is printed, and what programs started from here print is kept for who asks for it."""
    sys.stdin = sys.stdout = sys.stderr = Swallowed()
    swallow_output_of_programs()


def swallow_output_of_programs() -> None:
    run, popen = subprocess.run, subprocess.Popen

    def kept(options: dict[str, Any]) -> dict[str, Any]:
        if not options.get("capture_output"):
            options.setdefault("stdout", subprocess.PIPE)
            options.setdefault("stderr", subprocess.PIPE)
        return options

    class Popen(popen):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **kept(options))

    subprocess.run = lambda *args, **options: run(*args, **kept(options))
    subprocess.Popen = Popen  # type: ignore[misc]
