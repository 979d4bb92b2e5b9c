"""Outrun whoever ends the job: every process forks and ends at once, so that none lives long enough to be killed."""

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """The host looks for processes of this name once the job has ended; it must do so in the end."""
    for _ in range(4):
        if os.fork() == 0:
            os.setsid()
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            for _ in range(100_000):
                try:
                    if os.fork():
                        os._exit(0)
                except OSError:
                    continue
            os._exit(0)
