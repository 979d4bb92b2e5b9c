"""Checking with candidate and tests in two processes: what a candidate can influence is what its functions answer.

The tests' process loads the tests before the candidate's may run anything, keeps the names and outcomes, and takes only
what `codec` allows. A candidate that dies, hangs up or speaks another language fails the tests that need it.
"""

from __future__ import annotations

import re
import socket
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from . import hardening
from .codec import Codec
from .codec_errors import ERRORS
from .codec_named import FAMILIES
from .codec_plain import KINDS, VALUES
from .codec_types import Side, Unplain
from .harness import MODULE, load, new_module, run_import, swallow_output, swallow_output_of_programs
from .link import Link, LinkBroken
from .outcomes import Outcome, reason, run
from .sides import CandidateSide, TestsSide
from .source import attributes, imports
from .standin import perform
from .state import Effects, change_figures, do_again, share_figures

_MODULE_NAME = re.compile(r"[A-Za-z_][\w.]{0,99}")


def rehearse() -> None:
    """Take the first steps of a check in a process that will be forked for many: what they set up is then inherited."""
    imports("import sys\n\nsys.path.index(0)")
    sides: tuple[Side, Side] = TestsSide({"__name__": MODULE}), CandidateSide()
    for number, side in enumerate(sides):
        codec = Codec(side, number, VALUES, [*KINDS, *ERRORS], FAMILIES)
        codec.loads(codec.dumps([1, 1.5, "text", None, (True,), {"key": b""}]))


def serve_candidate(source: str, link: socket.socket) -> None:
    """The candidate's process: run its program when the tests ask for it, then serve calls until they hang up."""
    side = CandidateSide()
    effects = Effects()
    module = new_module()

    def do(operation: str, target: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if operation == "figures":
            return change_figures(*args)
        if operation != "load":
            return perform(operation, target, args, kwargs, private=True)
        sys.modules[MODULE] = module
        entry_point, statements = args
        load(source, module)
        for statement in statements:
            run_import(statement, module.__dict__)
        return module.__dict__[entry_point]

    side.codec = codec = Codec(side, 1, VALUES, [*KINDS, *ERRORS], FAMILIES)
    side.link = Link(link, codec, do, leads=False, effects=effects.taken)
    effects.install()
    swallow_output_of_programs()
    side.link.serve()


class _Tests:
    """The tests' process: its module, and the link to the candidate, which is loaded at the first need of it."""

    def __init__(self, task: Mapping[str, Any], connection: socket.socket) -> None:
        entry_point = task["entry_point"]
        # A program may use what only the tests import: officially both are one module.
        self._imports = tuple(imports(task["tests"]).statements.splitlines())
        self.module = new_module()
        self.entry_point = entry_point
        self.side = TestsSide(self.module.__dict__)
        self.codec = self.side.codec = Codec(self.side, 0, VALUES, [*KINDS, *ERRORS], FAMILIES)
        self.link = Link(connection, self.codec, self._perform, leads=True, take_effects=self._take_effects)
        # What the tests themselves spell out; libraries that feel their way by such names must not be led on.
        self.link.private = frozenset(name for name in attributes(task["tests"]) if not name.startswith("__"))
        self.side.link = self.link
        self._loaded: Any = None
        self.load_error: BaseException | None = None

    def _perform(self, operation: str, target: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self.codec.is_mine(target):
            raise AttributeError("the candidate was never given that object")
        return perform(operation, target, args, kwargs)

    def _take_effects(self, effects: Any) -> None:
        if effects is not None:
            do_again(effects)

    def candidate(self) -> Any:
        """The candidate's entry point, as a stand-in."""
        if self._loaded is None and self.load_error is None:
            hardening.refuse_code_from_files()
            try:
                self._loaded = self.link.ask("load", None, self.entry_point, self._imports)
            except BaseException as error:
                self.load_error = error
        if self.load_error is not None:
            raise self.load_error
        return self._loaded

    def proxy(self) -> Any:
        """What stands for the entry point in the tests' module."""
        plain = self.module.__dict__.get(self.entry_point)
        if isinstance(plain, type):
            return _class_proxy(self.candidate, plain)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self.candidate()(*args, **kwargs)

        call.__name__ = call.__qualname__ = self.entry_point
        call.__module__ = MODULE
        call.__doc__ = getattr(plain, "__doc__", None)
        return call


def _class_proxy(candidate: Callable[[], Any], plain: type) -> Any:
    """For a class under test: called, it makes one on the other side; its attributes are asked for there."""

    class Proxy:
        __name__ = __qualname__ = plain.__name__
        __doc__ = plain.__doc__

        def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
            return candidate()(*args, **kwargs)

        def __getattr__(self, name: str) -> Any:
            return getattr(candidate(), name)

    return Proxy()


def run_tests(task: Mapping[str, Any], link: socket.socket, report: Callable[[dict[str, Any]], None]) -> None:
    """The tests' process: load tests, have the candidate loaded, run the named tests and report a line on each."""
    hardening.hide_memory()
    hardening.only_installed_modules()
    swallow_output()
    tests = _Tests(task, link)
    namespace = tests.module.__dict__
    sys.modules[MODULE] = tests.module
    try:
        load(task.get("prelude", ""), tests.module)
        tests.side.prelude = set(namespace)
        namespace[tests.entry_point] = tests.proxy()
        load(task["tests"], tests.module)
        case = namespace["TestCases"]
    except BaseException as error:
        report(_load_line("tests", error))
        return
    try:
        entry = tests.candidate()
    except BaseException as error:
        if isinstance(error, Unplain):
            report({"unplain": error.type_name})
        report(_load_line("candidate", error))
        return
    tests.side.unplain.clear()  # the entry point itself
    share_figures(tests.link)
    _take_name(namespace.get(tests.entry_point), entry)
    told: set[str] = set()

    def judged(one: Callable[[], Outcome]) -> Outcome:
        outcome = one()
        # A test that swallowed the break would otherwise pass on nothing.
        return Outcome("error", tests.link.broken) if tests.link.broken else outcome

    def report_test(name: str, outcome: Outcome) -> None:
        for type_name in tests.side.unplain.keys() - told:
            told.add(type_name)
            report({"unplain": type_name})
        report({"test": name, "outcome": outcome.outcome, "reason": outcome.reason})

    run(case, task["names"], report_test, judged)
    report({"end": True})


def _take_name(proxy: Any, entry: Any) -> None:
    """The candidate's own name and text for its function, as far as they are text."""
    if isinstance(proxy, types.FunctionType):
        for name in ("__name__", "__doc__"):
            text = vars(entry).get(name)
            if type(text) is str:
                setattr(proxy, name, text)


def _load_line(what: str, error: BaseException) -> dict[str, Any]:
    line: dict[str, Any] = {"load": what, "reason": reason(error)}
    if isinstance(error, LinkBroken):
        line["reason"] = f"the candidate's process is gone: {error}"
    if isinstance(error, ModuleNotFoundError) and type(error.name) is str and _MODULE_NAME.fullmatch(error.name):
        line["missing"] = error.name
    return line
