"""Running a check in plain processes, without walls: one for the tests, one for the candidate."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_SANDBOX = Path(__file__).parents[4] / "gateway/shadow/sandbox"

# A process of its own, so that what a check does to its interpreter is nothing to ours.
_MAIN = """
import json, os, socket, sys
sys.path[0] = sys.argv[1]  # in place of the current folder
kind = sys.argv[2]
given = json.load(sys.stdin)
report_to = os.dup(1)
null = os.open(os.devnull, os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(null, number)
def report(line):
    os.write(report_to, json.dumps(line).encode() + b"\\n")
for name in given["preload"]:
    __import__(name)
if kind == "separate":
    from runner.check.separate import run_tests, serve_candidate
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        os.close(report_to)
        source = given["candidate"]
        del given
        try:
            serve_candidate(source, theirs)
        finally:
            os._exit(0)
    theirs.close()
    run_tests(given["task"], ours, report)
elif kind == "naive":
    import builtins, types, unittest
    from runner.check.harness import load, new_module, swallow_output
    swallow_output()
    module = new_module()
    load(given["candidate"] + "\\n" + given["task"]["tests"], module)
    sys.modules["__test__"] = module
    result = unittest.TestResult()
    unittest.TestLoader().loadTestsFromTestCase(module.TestCases).run(result)
    if not result.failures + result.errors:
        os.write(report_to, b'{"naive": "pass"}')
else:
    from runner.check.in_process import run_in_process
    task, source = given.pop("task"), given.pop("candidate")
    run_in_process(source, task, report)
os._exit(0)
"""


def fools_naive_harness(candidate: str, task: Mapping[str, Any], *, seconds: float) -> bool:
    """Whether it passes where candidate and tests are one module, and a TestResult without entries is a pass."""
    return {"naive": "pass"} in check("naive", candidate, task, seconds=seconds)


def check(
    kind: str,
    candidate: str,
    task: Mapping[str, Any],
    *,
    seconds: float = 20,
    python: str = sys.executable,
    preload: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """The lines that the job reported; what is left of it afterwards is killed."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [python, "-B", "-c", _MAIN, str(_SANDBOX), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if os.environ.get("CHECK_STDERR") else subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "TZ": "UTC", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "HOME": folder,
                 "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )  # fmt: skip
        given = json.dumps({"candidate": candidate, "task": dict(task), "preload": preload}).encode()
        try:
            out, _ = process.communicate(given, timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, _ = process.communicate()
            out += b'\n{"timeout": true}'
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return [_line(line) for line in out.splitlines() if line.strip()]


def _line(text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        return {"garbled": text.decode(errors="replace")}
    return line if isinstance(line, dict) else {"garbled": text.decode()}


def passed(lines: list[dict[str, Any]], names: Sequence[str]) -> bool:
    """As the scorer judges: every name once, with pass, in order, then the end, and nothing that is unknown."""
    told = [line for line in lines if set(line) != {"unplain"}]
    wanted = [{"test": name, "outcome": "pass"} for name in names]
    return [{key: line.get(key) for key in ("test", "outcome")} for line in told[:-1]] == wanted and told[-1:] == [
        {"end": True}
    ]
