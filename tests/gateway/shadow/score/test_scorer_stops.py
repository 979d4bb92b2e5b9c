"""Ctrl-C while real slots still warm their libraries ends them, and does not wait."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from gateway.shadow.sandbox.job import Limits
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.slot import Slot
from gateway.shadow.score.check import Checker
from gateway.shadow.score.samples import Sample
from gateway.shadow.score.scorer import Scorer
from gateway.shadow.score.slots import bare_python
from tests.gateway.shadow.score.test_check import task
from tests.gateway.shadow.stuck import MODULE, Stuck
from tests.gateway.shadow.walls import need


@pytest.mark.parametrize("level", list(Level))
def test_ctrl_c_does_not_wait_for_slots_that_start(level: Level, tmp_path: Path) -> None:
    need(level)
    stuck = Stuck(tmp_path / "environment", bare_python())
    slots = list[Slot]()
    pipe: Future[int] = Future()
    over = threading.Event()

    def new_slot() -> Slot:
        slots.append(Slot(level, stuck.python, preload=[MODULE]))
        return slots[-1]

    def press() -> None:
        pipe.set_result(stuck.wait_until_importing())
        if not over.is_set():  # else nobody would be there to take it, and all tests would end
            os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    scorer = Scorer(Checker(level, Limits()), new_slot, workers=2)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(scorer.score([Sample(task(), "    return 7", 1)] * 3))
    finally:
        over.set()
    pressing.join()
    os.close(pipe.result())
    assert [slot.processes() for slot in slots] == [[]] * len(slots)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("slot ")]
