"""Ctrl-C while real slots still warm their libraries ends them, and does not wait."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from gateway.shadow.sandbox.level import Level
from gateway.shadow.score.slots import bare_python
from tests.gateway.shadow.stuck import Stuck
from tests.gateway.shadow.walls import need


@pytest.mark.parametrize("level", list(Level))
def test_ctrl_c_does_not_wait_for_slots_that_start(level: Level, tmp_path: Path) -> None:
    need(level)
    stuck = Stuck(tmp_path / "environment", bare_python())
    importing: Future[int] = Future()
    # Not waited for: where nobody ever imports, the test fails by its limit of time, and the run of tests goes on.
    threading.Thread(target=lambda: importing.set_result(stuck.wait_until_importing()), daemon=True).start()
    command = [sys.executable, "-m", "tests.gateway.shadow.score.stopped", level.value, str(stuck.python)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            pipe = importing.result(60)
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    os.close(pipe)
    left = json.loads(said)
    assert left["processes"] == [[]] * len(left["processes"])
    assert (len(left["processes"]) > 0, left["threads"]) == (True, [])
