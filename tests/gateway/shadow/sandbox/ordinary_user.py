"""Run as a program by an ordinary user: what has to hold when slots share their user with the gateway and with others.

Arguments: the level and the Python of the slots. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from gateway.shadow.sandbox.job import Job, Kind, Limits
from gateway.shadow.sandbox.level import Level, obstacle
from gateway.shadow.sandbox.slot import Slot

REACHES = """
import os, resource, signal
reached = []
for name, reach in {{
    "signal": lambda pid: os.kill(pid, 0),
    "limits": lambda pid: resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0)),
    "affinity": lambda pid: os.sched_setaffinity(pid, {{0}}),
    "priority": lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19),
    "environment": lambda pid: open(f"/proc/{{pid}}/environ", "rb"),
}}.items():
    for pid in {pids}:
        try: reach(pid)
        except OSError: continue
        reached.append((name, pid))
for change in (lambda: os.chmod({file!r}, 0o777), lambda: os.utime({file!r}, (0, 0)), lambda: open({file!r}).read()):
    try: change()
    except OSError: pass
for number in (9, 15):
    try: os.kill(-1, number)
    except OSError: pass
report({{"reached": reached}})
"""
LEAVES_DAEMONS = """
import os, time
for _ in range(5):
    if not os.fork():
        os.setsid()
        if os.fork(): os._exit(0)
        time.sleep(1000)
report({"left": True})
"""


def main() -> None:
    level, python = Level(sys.argv[1]), Path(sys.argv[2])
    reason = obstacle(level, python)
    answer: dict[str, object] = {"obstacle": reason, "uid": os.getuid()}
    if reason is None:
        answer |= _run(level, python)
    print(json.dumps(answer))


def _run(level: Level, python: Path) -> dict[str, object]:
    file = Path(os.environ["HOME"]) / "ours"
    file.write_text("ours")
    file.chmod(0o600)
    before = file.stat()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]) as bystander:
        with Slot(level, python) as slot:
            reaches = REACHES.format(pids=[bystander.pid, os.getpid()], file=str(file))
            reached = slot.run(Job(Kind.PLAIN, reaches)).lines
            left = slot.run(Job(Kind.PLAIN, LEAVES_DAEMONS)).lines
            bounded = slot.run(Job(Kind.PLAIN, "while True: pass", limits=Limits(cpu=0.3))).end
        lives = bystander.poll() is None
        bystander.kill()
    after = file.stat()
    return {
        "reached": [line["reached"] for line in reached],
        "left": left,
        "bounded": bounded,
        "bystander lives": lives,
        "file is unchanged": (before.st_mode, before.st_mtime) == (after.st_mode, after.st_mtime),
        "left over": _left_over(),
    }


def _left_over() -> list[str]:
    """The stat lines of living processes of this user beside this one; the dead wait for the system to reap them."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and int(name) != os.getpid() and os.stat(f"/proc/{name}").st_uid == os.getuid():
                found.append(Path(f"/proc/{name}/stat").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [line for line in found if line.rpartition(")")[2].split()[0] not in "ZX"]


if __name__ == "__main__":
    main()
