"""A slot runs plain code behind walls, and says how it ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.shadow.sandbox.job import Job, Kind
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.slot import Slot

PYTHON = Path(getattr(sys, "_base_executable", sys.executable))


@pytest.fixture(scope="module")
def slot() -> Iterator[Slot]:
    with Slot(Level.BUBBLEWRAP, PYTHON) as started:
        yield started


def test_it_hands_back_what_the_code_reports(slot: Slot) -> None:
    outcome = slot.run(Job(Kind.PLAIN, 'report({"at": 1}); report({"at": 2})'))
    assert (outcome.end, outcome.lines, outcome.garbled) == ("exited", ({"at": 1}, {"at": 2}), False)


def test_it_says_which_modules_the_environment_lacks(slot: Slot) -> None:
    assert slot.missing(["json", "no_such_module"]) == {"no_such_module"}
