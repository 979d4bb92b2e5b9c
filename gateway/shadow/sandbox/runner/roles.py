"""What the confined processes do: the candidate, the tests, both in one, or plain code.

Each function is the last thing that its process does: it never returns.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import random
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from .check.in_process import run_in_process
from .check.separate import run_tests, serve_candidate
from .request import IN_PROCESS, Request

_REASON = 2000  # characters, less than a pipe holds

Report = Callable[[dict[str, Any]], None]


def be_candidate(descriptor: int, link: socket.socket) -> NoReturn:
    """C: holds the candidate, and nothing else."""
    source = _text(descriptor)
    _fresh_randomness()
    _last(lambda: serve_candidate(source, link))


def be_tests(request: Request, link: socket.socket) -> NoReturn:
    """T: holds the tests, and nothing of the candidate but what crosses the link."""
    task = json.loads(_text(request.task))
    _fresh_randomness()
    _last(lambda: run_tests(task, link, _reporter(request.report)))


def be_both(request: Request) -> NoReturn:
    """Candidate and tests in one process, or code without tests."""
    source, report = _text(request.candidate), _reporter(request.report)
    _fresh_randomness()
    if request.kind == IN_PROCESS:
        task = json.loads(_text(request.task))
        _last(lambda: run_in_process(source, task, report, request.standing))
    os.close(request.task)
    _last(lambda: exec(compile(source, "<candidate>", "exec"), {"__builtins__": builtins, "report": report}))


def close_all_but(*kept: int) -> None:
    """Close every descriptor above standard error that is not in ``kept``."""
    low = 3
    for descriptor in sorted({*kept, os.sysconf("SC_OPEN_MAX")}):
        os.closerange(low, descriptor)
        low = descriptor + 1


@contextlib.contextmanager
def failing(ready: int) -> Iterator[None]:
    """What fails in here is said to the server through ``ready``, and ends this process: its walls don't stand."""
    try:
        yield
    except BaseException:
        try:
            os.write(ready, traceback.format_exc()[-_REASON:].encode(errors="replace"))
        finally:
            os._exit(1)


def say(ready: int) -> None:
    """This process's walls stand."""
    os.write(ready, b"1")
    os.close(ready)


def wait(go: int) -> None:
    """Until the other process's walls stand; if they don't, that one has said so, and this one ends."""
    if os.read(go, 1) != b"1":
        os._exit(1)


def _fresh_randomness() -> None:
    """Forks of one warm process would all draw the same numbers; `random` sees to that itself, numpy doesn't."""
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "random"):
        numpy.random.seed()


def _text(descriptor: int) -> str:
    """All of a memory file, which is then closed."""
    with open(descriptor, "rb") as file:
        file.seek(0)
        return file.read().decode()


def _reporter(descriptor: int) -> Report:
    def report(line: dict[str, Any]) -> None:
        rest = memoryview(json.dumps(line).encode() + b"\n")
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    return report


def _last(work: Callable[[], object]) -> NoReturn:
    """Do ``work`` and end without the interpreter's own end, in which hostile code could go on."""
    try:
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)
