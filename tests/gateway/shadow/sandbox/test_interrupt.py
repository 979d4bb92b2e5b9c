"""A slot that is interrupted while it starts gives up at once, however long its libraries would take."""

from __future__ import annotations

import os
import select
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.shadow.sandbox.interpreter import SandboxError
from gateway.shadow.sandbox.job import Job, Kind
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.slot import Slot
from tests.gateway.shadow.stuck import MODULE, Stuck


def test_a_start_under_way_is_given_up(level: Level, python: Path, tmp_path: Path) -> None:
    stuck = Stuck(tmp_path / "environment", python)
    slot = Slot(level, stuck.python, preload=[MODULE])
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(slot.__enter__)
        pipe = stuck.wait_until_importing()
        started = [os.pidfd_open(pid) for pid in slot.processes()]
        slot.interrupt()
        with pytest.raises(SandboxError, match="did not start"):
            starting.result(30)
    assert started
    for process in started:
        assert select.select([process], [], [], 30)[0], "it was not ended"
    for descriptor in (pipe, *started):
        os.close(descriptor)


def test_before_its_start_as_well(level: Level, python: Path) -> None:
    slot = Slot(level, python)
    slot.interrupt()
    with pytest.raises(SandboxError, match="interrupted"), slot:
        pass
    assert slot.processes() == []


def test_a_server_that_was_lost_is_not_started_again(level: Level, python: Path) -> None:
    with Slot(level, python) as slot:
        slot.interrupt()
        assert [slot.run(Job(Kind.PLAIN, "report({})")).end for _ in range(2)] == ["lost", "lost"]
