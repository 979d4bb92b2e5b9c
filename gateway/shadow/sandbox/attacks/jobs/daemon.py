"""Leave a process behind: forked twice, in a session of its own, deaf to signals, with all descriptors held."""

import ctypes
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """The host looks for processes of this name once the job has ended."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    for _ in range(4):
        if os.fork() == 0:
            os.setsid()
            for _ in range(2):
                if os.fork():
                    os._exit(0)
                os.setsid()
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            threading.Event().wait()
