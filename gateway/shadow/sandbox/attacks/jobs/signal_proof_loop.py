"""Compute for ever, deaf to every signal that can be blocked or caught, in a session of its own, as three processes."""

import os
import resource
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """Has to be ended from outside, whatever limits of its own it raises and handlers it sets."""
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    for limit in (resource.RLIMIT_CPU, resource.RLIMIT_NPROC):
        try:
            resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (OSError, ValueError):
            pass
    for _ in range(2):
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            pass
    while True:
        pass
