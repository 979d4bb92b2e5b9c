"""3,000 processes, then as many threads."""

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """Stops at the first refusal; how many there were is for the host to judge."""
    count = 0
    while count < ways.bait["forks"]:
        try:
            child = os.fork()
        except OSError as error:
            ways.report({"way": "fork", "refused": str(error)})
            break
        if child == 0:
            threading.Event().wait()
        count += 1
    ways.count("processes", count)

    count = 0
    while count < ways.bait["forks"]:
        try:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        except RuntimeError as error:
            ways.report({"way": "thread", "refused": str(error)})
            break
        count += 1
    ways.count("threads", count)
