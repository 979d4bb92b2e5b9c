"""A scorer whose slots never end to warm their libraries, to be stopped by Ctrl-C: `test_scorer_stops` starts it.

`python -m tests.gateway.shadow.score.stopped LEVEL PYTHON`. Once it was stopped, it prints as JSON what it has left.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

from gateway.shadow.sandbox.job import Limits
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.slot import Slot
from gateway.shadow.score.check import Checker
from gateway.shadow.score.samples import Sample
from gateway.shadow.score.scorer import Scorer
from tests.gateway.shadow.score.test_check import task
from tests.gateway.shadow.stuck import MODULE


def main(level: Level, python: Path) -> None:
    slots = list[Slot]()

    def new_slot() -> Slot:
        slots.append(Slot(level, python, preload=[MODULE]))
        return slots[-1]

    scorer = Scorer(Checker(level, Limits()), new_slot, workers=2)
    try:
        list(scorer.score([Sample(task(), "    return 7", 1)] * 3))
    except KeyboardInterrupt:
        threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("slot ")]
        print(json.dumps({"processes": [slot.processes() for slot in slots], "threads": threads}))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which tests in the background of a shell have not
    main(Level(sys.argv[1]), Path(sys.argv[2]))
