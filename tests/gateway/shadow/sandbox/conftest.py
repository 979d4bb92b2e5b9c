"""A slot at each level that can start here, with the Python that the gateway's own environment was made from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.shadow.sandbox.level import Level, obstacle
from gateway.shadow.sandbox.slot import Slot

BASE_PYTHON = Path(getattr(sys, "_base_executable", sys.executable))


@pytest.fixture(scope="session")
def python() -> Path:
    return BASE_PYTHON


@pytest.fixture(scope="session", params=list(Level))
def level(request: pytest.FixtureRequest) -> Level:
    """Both levels; one that can't start here is skipped, with what keeps it from starting."""
    level = Level(request.param)
    if (reason := obstacle(level, BASE_PYTHON)) is not None:
        pytest.skip(reason)
    return level


@pytest.fixture(scope="module")
def slot(level: Level, python: Path) -> Iterator[Slot]:
    with Slot(level, python) as started:
        yield started
