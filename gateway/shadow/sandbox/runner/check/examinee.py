"""The examined process of a check in one process: the candidate's program, then the tests in the same namespace.

All that decides an outcome is held in local variables and closures from before the candidate was run, and put back
where it was changed. Nothing of this stops a program that knows this file and edits these variables.
"""

from __future__ import annotations

import ast
import importlib
import json
import socket
import sys
import threading
import time
import unittest
from collections.abc import Callable, Collection
from typing import Any

from .codec_errors import loaded_class
from .controls import CLASS
from .guard import Guard, attribute
from .harness import MODULE, load, new_module, run_import, swallow_output
from .known import Standing
from .liars import Lie, Looking, looking
from .outcomes import Failures, Outcome, reason, run_test, set_up_class, tear_down_class
from .source import Imports, Words, words

_GRACE = 1.0  # seconds that threads of the candidate's have to end after it was loaded


def examine(source: str, imported: Imports, link: socket.socket, standing: Standing | None) -> None:
    """Load the candidate, ask the judge for the tests, run them, and tell the judge of each."""
    say, ask = _speech(link)
    swallow_output()
    names = _imported_names(imported)
    guard, look = _taken(imported.modules, standing)
    threads = len(sys._current_frames())
    module = sys.modules[MODULE] = new_module()
    guard.modules_are_loaded()
    error = _load(source, module)
    guard.restore()
    guard.restore_hooks()
    _forget_import_hooks()
    if error is not None:
        say(_load_line("candidate", error))
        return
    say({"loaded": True})
    paper = ask()
    token = paper["token"]

    def tell(line: dict[str, Any]) -> None:
        say({**line, "token": token})

    if _left_threads(threads):
        tell({"forged": "threads of the candidate's that go on beside the tests"})
        return
    _run(paper, module.__dict__, names, guard, look, tell)


def _taken(modules: Collection[str], standing: Standing | None) -> tuple[Guard, Looking]:
    guard = Guard(modules, standing)
    return guard, Looking(guard.types)


def _speech(link: socket.socket) -> tuple[Callable[[dict[str, Any]], None], Callable[[], dict[str, Any]]]:
    send, receive, dumps, loads = link.sendall, link.recv, json.JSONEncoder().encode, json.JSONDecoder().decode

    def say(line: dict[str, Any]) -> None:
        send(dumps(line).encode() + b"\n")

    def ask() -> dict[str, Any]:
        data = b""
        while not data.endswith(b"\n"):
            piece = receive(2**16)
            if not piece:
                raise EOFError
            data += piece
        paper: dict[str, Any] = loads(data.decode())
        return paper

    return say, ask


def _imported_names(imported: Imports) -> dict[str, Any]:
    """What the prompt's imports bind, before the candidate can have a say in it; loads the tests' modules as well."""
    names: dict[str, Any] = {}
    for statement in imported.statements.splitlines():
        run_import(statement, names)
    for module in ("unittest.mock", *imported.modules):
        try:
            importlib.import_module(module)
        except Exception:
            continue
    names.pop("__builtins__", None)
    return names


def _load(source: str, module: Any) -> BaseException | None:
    try:
        load(source, module)
    except BaseException as error:
        return error
    return None


def _load_line(what: str, error: BaseException) -> dict[str, Any]:
    line: dict[str, Any] = {"load": what, "reason": reason(error)}
    name = getattr(error, "name", None)
    if type(error) is ModuleNotFoundError and type(name) is str:
        line["missing"] = name[:100]
    return line


def _forget_import_hooks() -> None:
    for hooks in (sys.meta_path, sys.path_hooks):
        for hook in list(hooks):
            if MODULE in (getattr(hook, "__module__", None), type(hook).__module__):
                hooks.remove(hook)  # type: ignore[arg-type]


def _left_threads(before: int) -> bool:
    end = time.monotonic() + _GRACE
    while len(sys._current_frames()) > before and time.monotonic() < end:
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join(0.05)
    return len(sys._current_frames()) > before


def _run(
    paper: dict[str, Any],
    namespace: dict[str, Any],
    names: dict[str, Any],
    guard: Guard,
    look: Looking,
    tell: Callable[[dict[str, Any]], None],
) -> None:
    module = sys.modules[MODULE]
    try:
        tree = ast.parse(paper["tests"])
        used = words(tree)
        if why := _replaced_names(namespace, names, used, guard, paper["entry_point"]):
            tell({"forged": why})
            return
        name = f"_look_{paper['token']}"
        namespace[name] = look.look
        load(looking(tree, name), module)
        case = namespace["TestCases"]
        if type(case) is not type or unittest.TestCase not in type.mro(case):
            raise TypeError("TestCases is no test case")
    except Exception as error:
        tell(_load_line("tests", error))
        return
    controls: dict[str, Any] = {"__name__": "controls"}
    exec(paper["controls"], controls)
    after = _After(guard, case, namespace, used)
    _run_all(paper["order"], case, controls[CLASS], after, tell)


def _replaced_names(
    namespace: dict[str, Any], names: dict[str, Any], used: Words, guard: Guard, entry_point: str
) -> str | None:
    """Of what the tests take for a built-in function or the prompt's import, the first that is another thing."""
    for name in used.names - used.bound - {entry_point}:
        if name not in namespace or name.startswith("__"):
            continue
        value = namespace[name]
        meant = names.get(name, guard.builtins.get(name))
        if meant is None or value is meant or guard.is_known(value) or _is_of_library(value):
            continue
        return f"{name}, which the tests use, was replaced"
    return None


def _is_of_library(value: object) -> bool:
    """A class of a library that was loaded with the candidate."""
    if not issubclass(type(value), type):
        return False
    module, name = attribute(value, "__module__"), attribute(value, "__qualname__")
    return module != MODULE and loaded_class(str(module), str(name)) is value


class _After:
    """What is looked at when a test is over."""

    def __init__(self, guard: Guard, case: type, namespace: dict[str, Any], used: Words) -> None:
        self._guard, self._namespace, self._used = guard, namespace, used
        for one in type.mro(case):
            if one.__module__ == MODULE:
                guard.hold(one)
        guard.look_at(used.used - used.changed)
        self._bound = {name: namespace[name] for name in used.bound - used.changed if name in namespace}

    def __call__(self, test: unittest.TestCase) -> None:
        if changed := [name for name in self._guard.restore_near() if self._counts(name)]:
            raise Lie(f"changed while the tests ran: {', '.join(changed)[:300]}")
        for name, value in self._bound.items():
            if self._namespace.get(name) is not value:
                self._namespace[name] = value
                raise Lie(f"changed while the tests ran: {name}")
        own = [name for name in vars(test) if name in vars(unittest.TestCase) and name != "subTest"]
        if own and not self._used.changed.issuperset(own):
            raise Lie(f"the test's own methods were replaced: {', '.join(own)[:300]}")
        if sys.gettrace() is not None or sys.getprofile() is not None:
            sys.settrace(None)
            sys.setprofile(None)
            raise Lie("the tests were traced")

    def _counts(self, dotted: str) -> bool:
        """Whether a change matters to the tests, and is not their own."""
        last = dotted.rpartition(".")[2]
        if last in self._used.changed:
            return False
        return dotted.partition(".")[0] in ("unittest", "builtins", MODULE) or last in self._used.used


def _run_all(
    order: list[str], case: type[unittest.TestCase], controls: type, after: _After, tell: Callable[[Any], None]
) -> None:
    real = [name for name in order if not hasattr(controls, name)]
    broken = set_up_class(case)
    for name in order:

        def note(outcome: Outcome, name: str = name) -> None:
            tell({"test": name, "outcome": outcome.outcome, "reason": outcome.reason, "so_far": True})

        if hasattr(controls, name):
            outcome = run_test(controls, name, Failures(note))
        else:
            outcome = broken or run_test(case, name, Failures(note), after)
            if name == real[-1] and not broken:
                outcome = tear_down_class(case) or outcome
        tell({"test": name, "outcome": outcome.outcome, "reason": outcome.reason})
    tell({"end": True})
