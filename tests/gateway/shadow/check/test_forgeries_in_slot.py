"""The same forgeries behind real walls, with those that reach for other processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.shadow.sandbox.job import Job, Kind, Limits
from gateway.shadow.sandbox.level import Level, obstacle
from gateway.shadow.sandbox.slot import Slot
from tests.gateway.shadow.check.forgeries import (
    ENTRY_POINT,
    FORGERIES,
    KNOWN_IN_PROCESS,
    NAMES,
    PRELUDE,
    RIGHT,
    TESTS,
    Forgery,
)
from tests.gateway.shadow.check.runs import passed

TASK = {"prelude": PRELUDE, "tests": TESTS, "entry_point": ENTRY_POINT, "names": list(NAMES)}
PYTHON = Path(sys._base_executable)  # type: ignore[attr-defined]


@pytest.fixture(scope="module", params=list(Level))
def slot(request: pytest.FixtureRequest) -> Iterator[Slot]:
    if (why := obstacle(request.param, PYTHON)) is not None:
        if os.environ.get("YARDSTICK_NO_SKIPS"):
            pytest.fail(why)
        pytest.skip(why)
    with Slot(request.param, PYTHON) as slot:
        yield slot


def _passes(slot: Slot, kind: Kind, program: str, seconds: float = 60) -> bool:
    outcome = slot.run(Job(kind, program, TASK, Limits(cpu=min(seconds, 20), wall=seconds, memory=2**30)))
    return outcome.end == "exited" and not outcome.garbled and passed(list(outcome.lines), NAMES)


@pytest.mark.parametrize("kind", [Kind.SEPARATE, Kind.IN_PROCESS])
def test_the_right_program_passes(slot: Slot, kind: Kind) -> None:
    assert _passes(slot, kind, PRELUDE + RIGHT)


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_separate(slot: Slot, forgery: Forgery) -> None:
    assert not _passes(slot, Kind.SEPARATE, forgery.program, forgery.seconds)


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_in_process(slot: Slot, forgery: Forgery) -> None:
    passes = _passes(slot, Kind.IN_PROCESS, forgery.program, forgery.seconds)
    assert passes == (forgery.name in KNOWN_IN_PROCESS)
