"""Runs one command, and sees to it that it ends when whoever started this ends, even by SIGKILL.

Run as a script: ``python -I guard.py SECONDS COMMAND...``, as the leader of a process group of its own. It imports
nothing of ours. The other end of its standard input belongs to the process that started it: once that is closed, the
command gets SIGTERM, and after so many seconds everything in the group gets SIGKILL. SIGTERM is passed on to the
command alone, because vLLM ends its own processes in the right order. Exits as the command did; with 128 + n if signal
n ended it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main(seconds: float, command: list[str]) -> int:
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))  # until there is somebody to pass it on to
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, restore_signals=True, preexec_fn=_usual_signals)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
        return 127
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    if asked:
        process.terminate()
    alone = threading.Event()
    threading.Thread(target=_end_with_starter, args=(process, seconds, alone), daemon=True).start()
    code = process.wait()
    if alone.is_set():
        os.killpg(0, signal.SIGKILL)  # nobody else would end what the command has left behind
    return code if code >= 0 else 128 - code


def _usual_signals() -> None:
    """In the command's process, before it begins: it must not inherit that signals are ignored."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _end_with_starter(process: subprocess.Popen[bytes], seconds: float, alone: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    alone.set()
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
