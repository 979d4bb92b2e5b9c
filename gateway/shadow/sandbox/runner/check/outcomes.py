"""Running named tests one by one, as unittest would, with outcomes that are told from the flow of control alone.

unittest keeps outcomes in a TestResult, which whoever finds it may edit. Here nothing is kept: a test's outcome is made
when the last of its code has returned, and handed on at once.
"""

from __future__ import annotations

import traceback
import types
import unittest
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

LONGEST_REASON = 2000


class Outcome(NamedTuple):
    """`outcome`: pass, fail (an assertion), error (anything else) or skip."""

    outcome: str
    reason: str = ""


class _Failed(Exception):
    """A test's code raised; carries what is told of it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def reason(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
    except Exception:
        text = type(error).__name__
    return text.encode("utf-8", "replace").decode("utf-8")[:LONGEST_REASON]


def _told(error: BaseException) -> Outcome:
    if isinstance(error, unittest.SkipTest):
        return Outcome("skip", reason(error))
    return Outcome("fail" if isinstance(error, AssertionError) else "error", reason(error))


@contextmanager
def _step(failures: list[Outcome]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        failures.append(_told(error))


def run(
    case: type[unittest.TestCase],
    names: Sequence[str],
    report: Callable[[str, Outcome], None],
    around: Callable[[Callable[[], Outcome]], Outcome] = lambda one: one(),
) -> None:
    """Run the named methods in order; each is reported when it is over, the last one when the class's fixture is too.

    `around` is given each test to run and may judge its outcome.
    """
    broken = _class_fixture(case, "setUpClass")
    last = len(names) - 1
    for at, name in enumerate(names):
        outcome = broken or around(lambda name=name: run_test(case, name))  # type: ignore[misc]
        if at == last:
            after = None if broken else _class_fixture(case, "tearDownClass")
            outcome = after or _class_cleanups(case) or outcome
        report(name, outcome)


def _class_fixture(case: type[unittest.TestCase], name: str) -> Outcome | None:
    failures: list[Outcome] = []
    if name == "setUpClass" and getattr(case, "__unittest_skip__", False):
        return Outcome("skip", str(getattr(case, "__unittest_skip_why__", "")))
    with _step(failures):
        getattr(case, name)()
    return failures[0] if failures else None


def _class_cleanups(case: type[unittest.TestCase]) -> Outcome | None:
    failures: list[Outcome] = []
    while case._class_cleanups:  # type: ignore[attr-defined]
        function, args, kwargs = case._class_cleanups.pop()  # type: ignore[attr-defined]
        with _step(failures):
            function(*args, **kwargs)
    return failures[0] if failures else None


def run_test(case: type[unittest.TestCase], name: str) -> Outcome:
    """Set up, run and tear down one test."""
    failures: list[Outcome] = []
    with _step(failures):
        test = case(name)
        method = getattr(test, name)
        if getattr(method, "__unittest_skip__", False):
            return Outcome("skip", str(getattr(method, "__unittest_skip_why__", "")))
        test.subTest = types.MethodType(_sub_test(failures), test)  # type: ignore[method-assign]
        if isinstance(test, unittest.IsolatedAsyncioTestCase):
            return _run_in_loop(test)
        expected = _expects_failure(test, method)
        _run_steps(test, method, failures if not expected else (unmet := list[Outcome]()))
        if expected:
            return Outcome("pass") if any(one.outcome == "fail" for one in unmet) else Outcome("fail", "did not fail")
    return failures[0] if failures else Outcome("pass")


def _run_steps(test: unittest.TestCase, method: Callable[[], Any], failures: list[Outcome]) -> None:
    with _step(failures):
        test.setUp()
    if not failures:
        with _step(failures):
            method()
        with _step(failures):
            test.tearDown()
    while test._cleanups:  # type: ignore[attr-defined]
        function, args, kwargs = test._cleanups.pop()  # type: ignore[attr-defined]
        with _step(failures):
            function(*args, **kwargs)


def _expects_failure(test: unittest.TestCase, method: object) -> bool:
    return bool(
        getattr(test, "__unittest_expecting_failure__", False)
        or getattr(method, "__unittest_expecting_failure__", False)
    )


def _sub_test(failures: list[Outcome]) -> Callable[..., Any]:
    """Failures within it are noted, and the test goes on."""

    @contextmanager
    def sub_test(self: unittest.TestCase, *_: object, **__: object) -> Iterator[None]:
        with _step(failures):
            yield

    return sub_test


def _run_in_loop(test: unittest.TestCase) -> Outcome:
    """Asynchronous tests have a loop of their own, which only unittest's `run` sets up."""
    result = unittest.TestResult()
    test.run(result)
    for _, text in (*result.failures, *result.errors):
        return Outcome("fail", text[-LONGEST_REASON:])
    if result.skipped or result.unexpectedSuccesses:
        return Outcome("skip")
    return Outcome("pass")
