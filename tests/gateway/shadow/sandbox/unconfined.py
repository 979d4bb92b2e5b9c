"""Runs an attack without walls, but in mounts and IPC of its own: to see that it would succeed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.shadow.sandbox.attacks import Attack
from gateway.shadow.sandbox.job import Outcome

_ALONE = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
must(libc.unshare(0x20000 | 0x8000000))
must(libc.mount(None, b"/", None, 0x4000 | 0x40000, None))
if {read_only}:
    must(libc.syscall(442, -100, b"/", 0x8000, (ctypes.c_ulong * 4)(1, 0, 0, 0), 32))
    must(libc.mount(b"none", b"/dev/shm", b"tmpfs", 0, None))
def report(line):
    os.write(output, (json.dumps(line) + "\\n").encode())
output = os.dup(1)
parts = json.load(sys.stdin)
children = []
for number, part in enumerate(parts):
    child = os.fork()
    if child == 0:
        exec(part, {{"report": report}})
        os._exit(0)
    children.append(child)
    if not {at_once}:
        os.waitpid(child, 0)
"""


def possible() -> bool:
    """Whether this user may make mounts of its own; if not, some attacks would do harm."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


def run(
    attack: Attack, given: Mapping[str, Any], folder: Path, secret: Mapping[str, str], *, read_only: bool, at_once: bool
) -> Outcome:
    """Its parts one after the other or at once, in ``folder``; whatever is left of it is killed."""
    parts = [attack.source(given), *([attack.source(given, str(attack.second))] if attack.second else [])]
    left, right = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _ALONE.format(read_only=read_only, at_once=at_once)],
        stdin=subprocess.PIPE,
        stdout=right,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **secret},
        pass_fds=(left,),
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(parts).encode())
        process.stdin.close()
        os.close(right)
        lines = []
        done = 0
        with open(left, "rb", closefd=False) as answers:
            for line in answers:
                lines.append(json.loads(line))
                done += "done" in lines[-1]
                if done == len(parts):
                    break
        process.wait(20)
        os.close(left)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return Outcome(end="exited", lines=tuple(lines), garbled=False, cpu=0, wall=0)
