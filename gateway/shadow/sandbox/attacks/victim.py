"""A process of the host for attacks to aim at: it keeps a secret, and tells if it was reached."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator

from gateway.shadow.sandbox.attacks.ways import number

VARIABLE = "YARDSTICK_PROOF_SECRET"
_BY_PROCESS, _LOWEST_OF_USUAL = 1, 2 << 13 | 7
# Lives until its input ends; says on its output when a signal has reached it.
_PROGRAM = f"""
import ctypes, os, signal, sys
ctypes.CDLL(None).syscall({number("ioprio_set")}, {_BY_PROCESS}, 0, {_LOWEST_OF_USUAL})
secret = ctypes.create_string_buffer(os.environb[b"{VARIABLE}"])
scratch = ctypes.create_string_buffer(64)
for signal_ in (signal.SIGURG, signal.SIGIO):
    signal.signal(signal_, lambda *_: os.write(1, b"hit "))
os.write(1, b"%d %d\\n" % (ctypes.addressof(secret), ctypes.addressof(scratch)))
sys.stdin.read()
"""


class Victim:
    """``place``: where in its memory the secret of its environment is; ``scratch``: where there are 64 bytes of 0."""

    def __init__(self, secret: str, argument: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM, argument],
            env={VARIABLE: secret},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self.pid = self._process.pid
        self.place, self.scratch = map(int, self._output.readline().split())
        os.set_blocking(self._output.fileno(), False)

    def harm(self) -> Iterator[str]:
        """What was done to it since the last time it was asked."""
        if self._process.poll() is not None:
            yield "killed a process of the host"
            return
        if self._output.read():
            yield "a signal reached a process of the host"
        if ctypes.CDLL(None).syscall(number("ioprio_get"), _BY_PROCESS, self.pid) != _LOWEST_OF_USUAL:
            yield "changed the priority of a process of the host"

    def end(self) -> None:
        self._process.kill()  # it may have been stopped
        self._process.communicate()
