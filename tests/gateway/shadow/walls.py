"""Whether a level of the sandbox can start here: asked once, and when a test needs it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from typing import ParamSpec, TypeVar

import pytest

from gateway.shadow.sandbox.level import Level, obstacle
from gateway.shadow.score.slots import bare_python


@lru_cache
def in_the_way(level: Level) -> str | None:
    return obstacle(level, bare_python())


def need(level: Level) -> Level:
    if reason := in_the_way(level):
        pytest.skip(reason)
    return level


def need_any() -> Level:
    """The strongest."""
    for level in Level:
        if in_the_way(level) is None:
            return level
    pytest.skip("; ".join(f"{level}: {in_the_way(level)}" for level in Level))


P = ParamSpec("P")
T = TypeVar("T")


def in_own_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """For counts of threads and descriptors: in the tests' own process those of other tests come and go."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()
