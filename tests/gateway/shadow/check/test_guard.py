"""The guard looks at modules whose values may not bear a question, such as Django's settings before they are set up."""

from __future__ import annotations

import contextlib
import os
import sys
import types
import unittest
from collections.abc import Iterator

import pytest

from gateway.shadow.sandbox.runner.check.guard import Guard
from gateway.shadow.sandbox.runner.check.known import Standing
from gateway.shadow.sandbox.runner.check.memory import Memory, layout, watched_dicts


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


@pytest.fixture
def standing(lazily: types.ModuleType) -> Standing:
    """With classes and a module of ours in it."""
    exec(
        "def plain(a=1, *, b=2): pass\nclass Base: pass\nclass Other: pass\n"
        "class Kind(Base):\n    def method(self): pass\n    size = 3\n",
        vars(lazily),
    )
    return Standing()


_CHANGES = {
    "a module's name": "import lazily; lazily.Kind = None",
    "a name taken away": "import lazily; del lazily.plain",
    "a name by the module's dict": "import lazily; vars(lazily)['plain'] = len",
    "a function's code": "import lazily; lazily.plain.__code__ = (lambda: 1).__code__",
    "a function's defaults": "import lazily; lazily.plain.__defaults__ = (9,)",
    "a function's keyword defaults": "import lazily; lazily.plain.__kwdefaults__ = {'b': 9}",
    "a class's attribute": "import lazily; lazily.Kind.size = 4",
    "a class's method": "import lazily; lazily.Kind.method = len",
    "a class's method's code": "import lazily; lazily.Kind.method.__code__ = (lambda self: 1).__code__",
    "a class's new special method": "import lazily; lazily.Kind.__eq__ = lambda *_: True",
    "a class's bases": "import lazily; lazily.Kind.__bases__ = (lazily.Other,)",
    "a module in its place": "import sys, types; sys.modules['lazily'] = types.ModuleType('lazily')",
    "a class's dict, behind its back": (
        "import gc, lazily; gc.get_referents(lazily.Kind.__dict__)[0]['method'] = lambda self: 1"
    ),
}


@pytest.mark.parametrize("what", _CHANGES)
def test_reading_memory_finds_what_asking_everything_finds(standing: Standing, what: str) -> None:
    read, asked = Guard(["lazily"], standing), Guard(["lazily"])
    read.modules_are_loaded()
    assert read.restore() == []
    exec(_CHANGES[what], {})
    changed = read.restore()
    assert changed
    assert all(name.startswith("lazily") for name in changed)
    assert asked.restore() == []  # all is as it was
    assert read.restore() == []


def test_nothing_is_overlooked_without_the_pipe(standing: Standing, lazily: types.ModuleType) -> None:
    guard = Guard(["lazily"], standing)
    guard.modules_are_loaded()
    before = set(map(int, os.listdir("/proc/self/fd")))
    guard = Guard(["lazily"], standing)
    for descriptor in set(map(int, os.listdir("/proc/self/fd"))) - before:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    lazily.plain = len  # type: ignore[attr-defined]
    assert guard.restore() == ["lazily.plain"]


def test_where_things_lie_is_found() -> None:
    found = layout()
    assert found is not None
    one: dict[str, int] = {"a": 1}
    dicts = [{}, one, {}]
    watched, memory = watched_dicts(dicts, found), Memory()
    assert [*watched.changed(memory)] == []
    one.get("a")
    assert [*watched.changed(memory)] == []
    one["a"] = 2
    assert [*watched.changed(memory)] == [1]
    one["a"] = 1
    assert [*watched.changed(memory)] == [1]
