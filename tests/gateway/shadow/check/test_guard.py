"""The guard looks at modules whose values may not bear a question, such as Django's settings before they are set up."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest

from gateway.shadow.sandbox.runner.check.guard import Guard


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
