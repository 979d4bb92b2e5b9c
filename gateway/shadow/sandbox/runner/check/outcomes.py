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


class Failures:
    """What went wrong in a test so far. `note` is told of each at once, before any other code of the test goes on."""

    def __init__(self, note: Callable[[Outcome], None] = lambda _: None) -> None:
        self._note = note
        self.first: Outcome | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            outcome = _told(error)
            self._note(outcome)
            self.first = self.first or outcome


def run(
    case: type[unittest.TestCase],
    names: Sequence[str],
    report: Callable[[str, Outcome], None],
    around: Callable[[Callable[[], Outcome]], Outcome] = lambda one: one(),
) -> None:
    """Run the named methods in order; each is reported when it is over, the last one when the class's fixture is too.

    One that does not pass is the last, for that decides. `around` is given each test to run and may judge its outcome.
    """
    broken = set_up_class(case)
    last = len(names) - 1
    for at, name in enumerate(names):
        outcome = broken or around(lambda name=name: run_test(case, name))  # type: ignore[misc]
        if at == last and not broken:
            outcome = tear_down_class(case) or outcome
        report(name, outcome)
        if outcome.outcome != "pass":
            return


def set_up_class(case: type[unittest.TestCase]) -> Outcome | None:
    """What is wrong with all tests of the class, if anything."""
    if getattr(case, "__unittest_skip__", False):
        return Outcome("skip", str(getattr(case, "__unittest_skip_why__", "")))
    failures = Failures()
    with failures.step():
        case.setUpClass()
    if failures.first:
        _class_cleanups(case, failures)
    return failures.first


def tear_down_class(case: type[unittest.TestCase]) -> Outcome | None:
    failures = Failures()
    with failures.step():
        case.tearDownClass()
    _class_cleanups(case, failures)
    return failures.first


def _class_cleanups(case: type[unittest.TestCase], failures: Failures) -> None:
    while case._class_cleanups:  # type: ignore[attr-defined]
        function, args, kwargs = case._class_cleanups.pop()  # type: ignore[attr-defined]
        with failures.step():
            function(*args, **kwargs)


def run_test(
    case: type[unittest.TestCase],
    name: str,
    failures: Failures | None = None,
    after: Callable[[unittest.TestCase], None] = lambda _: None,
) -> Outcome:
    """Set up, run and tear down one test; `after` may still raise what fails it."""
    failures = failures or Failures()
    with failures.step():
        test = case(name)
        method = getattr(test, name)
        if getattr(method, "__unittest_skip__", False):
            return Outcome("skip", str(getattr(method, "__unittest_skip_why__", "")))
        test.subTest = types.MethodType(_sub_test(failures), test)  # type: ignore[method-assign]
        if isinstance(test, unittest.IsolatedAsyncioTestCase):
            return _run_in_loop(test)
        if _expects_failure(test, method):
            unmet = Failures()
            _run_steps(test, method, unmet)
            if unmet.first is None or unmet.first.outcome != "fail":
                raise AssertionError("expected to fail, and did not")
        else:
            _run_steps(test, method, failures)
        after(test)
    return failures.first or Outcome("pass")


def _run_steps(test: unittest.TestCase, method: Callable[[], Any], failures: Failures) -> None:
    with failures.step():
        test.setUp()
    if not failures.first:
        with failures.step():
            method()
        with failures.step():
            test.tearDown()
    while test._cleanups:  # type: ignore[attr-defined]
        function, args, kwargs = test._cleanups.pop()  # type: ignore[attr-defined]
        with failures.step():
            function(*args, **kwargs)


def _expects_failure(test: unittest.TestCase, method: object) -> bool:
    return bool(
        getattr(test, "__unittest_expecting_failure__", False)
        or getattr(method, "__unittest_expecting_failure__", False)
    )


def _sub_test(failures: Failures) -> Callable[..., Any]:
    """Failures within it are noted, and the test goes on."""

    @contextmanager
    def sub_test(self: unittest.TestCase, *_: object, **__: object) -> Iterator[None]:
        with failures.step():
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
