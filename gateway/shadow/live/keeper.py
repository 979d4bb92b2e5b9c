"""Keeps the shadow process going: `python -m gateway.shadow.live.keeper`, with what it needs as one line on stdin.

Ends when stdin does, which is when the gateway has ended, in whatever way. It forks before anything large is imported,
so it stays small, and so does what is lost when the process inside is killed: it is started again.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback

_NICE = 5  # live traffic comes first; jobs are nicer still
_LONG_LIFE = 60.0  # seconds after which a process that ends is started again at once
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


def main() -> int:
    line = b""
    while not line.endswith(b"\n"):  # unbuffered: what is left on stdin is for `select`
        data = os.read(0, 65_536)
        if not data:
            return 0
        line += data
    os.nice(_NICE)
    pause = _FIRST_PAUSE
    while True:
        started = time.monotonic()
        if _run_once(line) == 0:
            return 0
        pause = _FIRST_PAUSE if time.monotonic() - started > _LONG_LIFE else min(2 * pause, _LONGEST_PAUSE)
        if select.select([0], [], [], pause)[0]:
            return 0


def _run_once(line: bytes) -> int:
    """The exit code; 0 if it was told to end, by the end of stdin."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from gateway.shadow.live.process import main as run

        code = run(line)
    except BaseException:
        # Frames only: the message of an error may quote what was on its way.
        error = sys.exc_info()[1]
        frames = "".join(traceback.format_tb(error.__traceback__)) if error is not None else ""
        sys.stderr.write(f"shadow-eval: {type(error).__name__}\n{frames}")
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
