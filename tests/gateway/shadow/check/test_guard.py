"""The guard looks at modules whose values may not bear a question, such as Django's settings before they are set up."""

from __future__ import annotations

import sys
import types
import unittest
from collections.abc import Iterator

import pytest

from gateway.shadow.sandbox.runner.check.guard import Guard
from gateway.shadow.sandbox.runner.check.known import Standing


class Lazy:
    """Fails whatever it is asked, its class included."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(f"not set up, and asked for {name}")


@pytest.fixture
def lazily() -> Iterator[types.ModuleType]:
    module = types.ModuleType("lazily")
    module.settings = Lazy()  # type: ignore[attr-defined]
    module.function = lambda: 1  # type: ignore[attr-defined]
    sys.modules["lazily"] = module
    yield module
    del sys.modules["lazily"]


def test_a_lazy_value_is_left_alone(lazily: types.ModuleType) -> None:
    guard = Guard(["lazily"])
    assert not guard.is_known(lazily.settings)
    assert guard.restore() == []
    lazily.function = print  # type: ignore[attr-defined]
    assert guard.restore() == ["lazily.function"]


def test_a_module_that_loads_itself_may_put_another_in_its_place(lazily: types.ModuleType) -> None:
    class Loader(types.ModuleType):
        pass

    lazily.part = Loader("part")  # type: ignore[attr-defined]
    lazily.plain = types.ModuleType("plain")  # type: ignore[attr-defined]
    guard = Guard(["lazily"])
    lazily.part = types.ModuleType("part")  # type: ignore[attr-defined]
    lazily.plain = types.ModuleType("plain")  # type: ignore[attr-defined]
    assert guard.restore() == ["lazily.plain"]


def test_what_was_taken_down_before_serves_until_something_is_loaded(lazily: types.ModuleType) -> None:
    function = lazily.function
    standing = Standing()
    lazily.function = len  # type: ignore[attr-defined]
    # Nothing was loaded since, so this is no work of the tests' imports: it is put back.
    assert Guard(["lazily"], standing).restore() == ["lazily.function"]
    assert lazily.function is function
    lazily.function = len  # type: ignore[attr-defined]
    sys.modules["lazily.part"] = types.ModuleType("lazily.part")
    try:
        assert Guard(["lazily"], standing).restore() == []
    finally:
        del sys.modules["lazily.part"]
    assert lazily.function is len


def test_types_that_came_with_what_was_loaded_are_known(lazily: types.ModuleType) -> None:
    standing = Standing()
    late = type("Late", (), {})
    assert late not in Guard(["lazily"], standing).types
    sys.modules["lazily.part"] = types.ModuleType("lazily.part")
    try:
        assert late in Guard(["lazily"], standing).types
    finally:
        del sys.modules["lazily.part"]


def test_after_a_test_only_what_can_count_is_looked_at(lazily: types.ModuleType) -> None:
    lazily.Kind = type("Kind", (), {"used": lambda self: 1, "other": lambda self: 2})  # type: ignore[attr-defined]
    guard = Guard(["lazily"])
    guard.look_at(frozenset({"used"}))
    lazily.Kind.used = lazily.Kind.other = print
    assert [name.rpartition(".")[2] for name in guard.restore_near()] == ["used"]
    assert [name.rpartition(".")[2] for name in guard.restore()] == ["other"]


def test_what_decides_outcomes_is_looked_at_whatever_the_tests_name() -> None:
    guard = Guard([])
    guard.look_at(frozenset())
    kept = unittest.TestCase.assertEqual
    unittest.TestCase.assertEqual = print  # type: ignore[method-assign, assignment]
    assert guard.restore_near() == ["unittest.case.TestCase.assertEqual"]
    assert unittest.TestCase.assertEqual is kept
