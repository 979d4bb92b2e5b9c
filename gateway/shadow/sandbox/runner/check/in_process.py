"""Checking with candidate and tests in one process, as the official harness does; never forgery-proof.

A second process judges: it holds tests, names and outcomes, hands the tests out when the candidate's program has been
run, and has tests among them that must fail. In the examined process, what decides an outcome is put back after the
program was run and looked at after every test, and operands that equal everything are found out.

What it can't stop, since the same interpreter runs both: a program that reads what a test expects from the test's own
frame and answers that; one that finds this package's objects in memory and edits them, or speaks their protocol with
the right outcomes for the tests that must fail; one that changes a function only while it is used; and native code or
writes to its own memory. A verdict from here says so by its level.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from . import hardening
from .examinee import examine
from .judge import judge
from .known import Standing
from .source import imports


def run_in_process(
    source: str, task: dict[str, Any], report: Callable[[dict[str, Any]], None], standing: Standing | None = None
) -> None:
    """Report a line on each test. `task` is emptied in the examined process, so that no test is in its memory.

    `standing`: what was known before this process was forked.
    """
    imported = imports(task.get("prelude", "") + "\n" + task["tests"])
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        _be_examined(source, task, imported, theirs, standing)
    theirs.close()
    hardening.hide_memory()
    try:
        judge(ours, task, report)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _be_examined(
    source: str, task: dict[str, Any], imported: Any, link: socket.socket, standing: Standing | None
) -> None:
    try:
        hardening.die_with_parent()
        task.clear()
        gc.collect()
        low = 3
        os.closerange(low, link.fileno())
        os.closerange(link.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        examine(source, imported, link, standing)
    finally:
        os._exit(0)
