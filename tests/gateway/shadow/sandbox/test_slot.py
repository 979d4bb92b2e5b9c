"""A slot runs code, says how it ended, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.shadow.sandbox.cgroup import last_cgroup
from gateway.shadow.sandbox.interpreter import SandboxError
from gateway.shadow.sandbox.job import Job, Kind, Limits
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.runner.watch import descendants, processes
from gateway.shadow.sandbox.slot import Slot
from tests.gateway.shadow.walls import in_own_process

REPORTS = 'report({"ran": True})'


def plain(code: str, **limits: float) -> Job:
    return Job(Kind.PLAIN, code, limits=Limits(**limits))  # type: ignore[arg-type]


def test_it_hands_back_what_the_code_reports_in_order(slot: Slot) -> None:
    outcome = slot.run(plain('report({"at": 1}); report({"at": "\\u00fc"})'))
    assert (outcome.end, outcome.lines, outcome.garbled) == ("exited", ({"at": 1}, {"at": "ü"}), False)


@pytest.mark.parametrize(
    "code",
    [
        "1/0",
        "raise SystemExit(3)",
        "import os; os._exit(9)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "(",
    ],
)
def test_code_that_ends_badly_has_ended(slot: Slot, code: str) -> None:
    outcome = slot.run(plain(code))
    assert (outcome.end, outcome.lines) == ("exited", ())


@pytest.mark.parametrize("code", ["\0", "\ud800", "x" * 10_000_000, ""])
def test_any_text_can_be_a_candidate(slot: Slot, code: str) -> None:
    assert slot.run(plain(code)).end == "exited"


def test_what_is_no_line_of_json_is_garbled(slot: Slot) -> None:
    code = """
import os
report({"first": 1})
for descriptor in range(3, 100):
    try: os.write(descriptor, b"forged\\n")
    except OSError: pass
"""
    outcome = slot.run(plain(code))
    assert (outcome.lines, outcome.garbled) == (({"first": 1},), True)


def test_endless_reports_are_cut_off(slot: Slot) -> None:
    outcome = slot.run(plain('while True: report({"x": "y" * 10_000})'))
    assert outcome.garbled
    assert sum(len(str(line)) for line in outcome.lines) <= 1 << 20


GROWS = """
import time
kept = []
while True:
    kept.append(b"x" * 20_000_000)
    time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("end", "code", "limits"),
    [
        ("cpu", "while True: pass", {"cpu": 0.5}),
        ("cpu", "import os\nos.fork(); os.fork()\nwhile True: pass", {"cpu": 1.0}),
        ("wall", "import time; time.sleep(1000)", {"wall": 0.3}),
        ("wall", "import os\nif os.fork(): os.wait()\nelse:\n import time; time.sleep(1000)", {"wall": 0.3}),
        (
            "memory",
            "import time\nkept = []\nwhile True: kept.append(b'x' * 20_000_000), time.sleep(0.01)",
            {"memory": 200_000_000},
        ),
    ],
)
def test_limits_hold_for_the_whole_tree(slot: Slot, end: str, code: str, limits: dict[str, float]) -> None:
    assert slot.run(plain(code, **limits)).end == end
    assert slot.run(plain(REPORTS)).lines == ({"ran": True},)


def test_memory_counts_for_the_sum_of_all_processes(slot: Slot) -> None:
    code = """
import os, time
for _ in range(20):
    if not os.fork():
        x = b"x" * 60_000_000
        time.sleep(1000)
time.sleep(1000)
"""
    assert slot.run(plain(code, memory=300_000_000)).end == "memory"


def test_nobody_waits_for_a_process_that_memory_ended(slot: Slot) -> None:
    """Where there is a cgroup, the kernel may be faster than the server's look at processes."""
    code = """
import os, time
if not os.fork():
    x = b"x" * 190_000_000
time.sleep(1000)
"""
    for _ in range(5):
        outcome = slot.run(plain(code, memory=100_000_000, wall=60))
        assert outcome.end == "memory"
        assert outcome.wall < 50
    assert slot.run(plain(REPORTS)).lines == ({"ran": True},)


def test_a_slot_beside_live_traffic_has_the_cpus_last(level: Level, python: Path) -> None:
    """In a cgroup of the CPU's own, where there are such; elsewhere nice processes must do."""
    possible = last_cgroup(None)
    if possible is not None:
        possible.remove()
    with Slot(level, python, gives_way=True) as slot:
        assert slot.run(plain(REPORTS)).lines == ({"ran": True},)
        for pid in slot.processes():
            lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
            groups = {name: path for line in lines for name, path in [line.split(":", 2)[1:]]}
            assert possible is None or "/yardstick-slot-" in groups["cpu"]
    left = [] if possible is None else list(Path(possible.processes).parent.parent.glob(f"*-{os.getpid()}-*"))
    assert left == []


def test_memory_shared_with_the_warm_server_is_not_the_jobs(level: Level, python: Path) -> None:
    code = """
import os, time
for _ in range(40):
    if not os.fork():
        time.sleep(0.2)
        os._exit(0)
report({"all": len([os.wait() for _ in range(40)])})
"""
    with Slot(level, python, preload=["unittest", "asyncio", "decimal"]) as slot:
        assert slot.run(plain(code, memory=200_000_000)).lines == ({"all": 40},)


def test_processes_are_bounded(slot: Slot) -> None:
    code = """
import os, time
count = 0
try:
    while count < 3000:
        if not os.fork(): time.sleep(1000)
        count += 1
except OSError:
    report({"count": count})
"""
    outcome = slot.run(plain(code, processes=20))
    assert 10 <= outcome.lines[0]["count"] <= 30


@pytest.mark.parametrize("unlink", [False, True], ids=["named", "unlinked"])
def test_files_are_bounded(slot: Slot, level: Level, unlink: bool) -> None:
    code = f"""
import os, time
held = []
try:
    for number in range(100):
        held.append(open(str(number), "wb", buffering=0))
        if {unlink}: os.unlink(str(number))
        held[-1].write(b"x" * 5_000_000)
        time.sleep(0.05)
    report({{"wrote": "all"}})
except OSError as error:
    report({{"error": error.errno}})
"""
    outcome = slot.run(plain(code, files=20_000_000))
    if level is Level.BUBBLEWRAP:
        assert outcome.lines == ({"error": errno.ENOSPC},)
    else:
        assert (outcome.end, outcome.lines) == ("files", ())


FORKS_AND_RUNS = """
import os
for _ in range(8):
    if not os.fork():
        os.setsid()
        while True:
            if os.fork(): os._exit(0)
import time; time.sleep({seconds})
"""


@pytest.mark.parametrize("seconds", [0.3, 1000])
def test_nothing_is_left_of_processes_that_fork_as_fast_as_they_can(slot: Slot, seconds: float) -> None:
    before = processes_of(slot)
    slot.run(plain(FORKS_AND_RUNS.format(seconds=seconds), wall=0.6))
    assert processes_of(slot) == before
    assert slot.run(plain(REPORTS)).lines == ({"ran": True},)


def test_nothing_is_left_for_the_next_job(slot: Slot) -> None:
    before = processes_of(slot)
    leaves = """
import os, time, tempfile
os.makedirs("a/" * 100)
for _ in range(50):
    os.mkdir("deep")
    os.chdir("deep")
open("file", "w").write("x")
os.mkdir("closed", 0)
os.chdir(tempfile.gettempdir())
if not os.fork():
    os.setsid()
    if not os.fork(): time.sleep(1000)
    os._exit(0)
report({"left": True})
"""
    assert slot.run(plain(leaves)).lines == ({"left": True},)
    assert slot.run(plain("import os; report({'here': os.listdir()})")).lines == ({"here": []},)
    assert processes_of(slot) == before


def _pages_and_descriptors(level: Level, python: Path, counts: list[int]) -> list[tuple[int, int]]:
    """After so many jobs each: memory pages of the server, and descriptors of it and of this process."""
    found = []
    with Slot(level, python) as slot:
        for count in counts:
            for _ in range(count):
                assert slot.run(plain(REPORTS)).lines == ({"ran": True},)
            server = server_of(slot)
            pages = int(Path(f"/proc/{server}/statm").read_text().split()[1])
            found.append((pages, len(os.listdir(f"/proc/{server}/fd")) + len(os.listdir("/proc/self/fd"))))
    return found


def test_jobs_leave_no_memory_and_no_descriptor(level: Level, python: Path) -> None:
    before, after = in_own_process(_pages_and_descriptors, level, python, [50, 250])
    assert after[0] - before[0] < 256  # a megabyte
    assert after[1] == before[1]


def test_a_killed_server_is_started_again(level: Level, python: Path) -> None:
    with Slot(level, python) as slot:
        assert slot.run(plain(REPORTS)).end == "exited"
        os.kill(server_of(slot), signal.SIGKILL)
        assert slot.run(plain(REPORTS)).end == "lost"
        assert slot.run(plain(REPORTS)).end == "exited"


def test_what_could_not_start_says_why(level: Level) -> None:
    with pytest.raises(SandboxError, match="does not run"):
        Slot(level, Path("/nowhere/python"))


def test_missing_modules_are_named_and_not_imported(slot: Slot) -> None:
    assert slot.missing(["json", "antigravity", "no_such_module"]) == {"no_such_module"}


@pytest.fixture
def environment(tmp_path: Path, python: Path) -> Callable[[str, str], Path]:
    """Makes a virtual environment with a module in it."""

    def make(name: str, source: str) -> Path:
        folder = tmp_path / "environment"
        subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
        (next(folder.glob("lib/*/site-packages")) / f"{name}.py").write_text(source)
        return folder / "bin" / "python"

    return make


def test_warm_modules_are_there_and_bad_ones_are_left_out(
    level: Level, environment: Callable[[str, str], Path]
) -> None:
    module = "import sys, threading, time\nsys.warm = True\n"
    python = environment("warm", module)
    with Slot(level, python, preload=["no_such_module", "warm"]) as slot:
        assert slot.run(plain("import sys; report({'warm': 'warm' in sys.modules})")).lines == ({"warm": True},)


def test_what_a_warm_module_leaves_in_tmp_is_gone(level: Level, environment: Callable[[str, str], Path]) -> None:
    module = "import os, contextlib\nwith contextlib.suppress(OSError): os.makedirs(os.environ['TMPDIR'] + '/left')\n"
    python = environment("leaves", module)
    with Slot(level, python, preload=["leaves"]) as slot:
        code = (
            "import os, sys; left = 'left' in os.listdir(os.environ['TMPDIR'])\n"
            "report({'warm': 'leaves' in sys.modules, 'left': left})"
        )
        assert slot.run(plain(code)).lines == ({"warm": True, "left": False},)


def test_a_module_that_starts_threads_is_not_warmed(level: Level, environment: Callable[[str, str], Path]) -> None:
    module = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
    python = environment("threaded", module)
    with Slot(level, python, preload=["json", "threaded"]) as slot:
        code = "import os, sys; report({'warm': 'threaded' in sys.modules, 'json': 'json' in sys.modules})"
        assert slot.run(plain(code)).lines == ({"warm": False, "json": True},)


def processes_of(slot: Slot) -> set[int]:
    """The slot's own, and what jobs left."""
    assert slot._server is not None
    return {process.pid for process in descendants(slot._server.pid)}


def server_of(slot: Slot) -> int:
    """The fork server: at the bubblewrap level below bubblewrap's two processes and one that waits."""
    assert slot._server is not None
    pid = slot._server.pid
    for _ in range(3 if slot.level is Level.BUBBLEWRAP else 0):
        pid = next(process.pid for process in processes() if process.parent == pid)
    return pid


def test_what_a_job_waited_for_a_cpu_is_told_from_what_it_slept(slot: Slot) -> None:
    slept = slot.run(plain("import time; time.sleep(1000)", wall=0.5))
    assert (slept.end, slept.waited < 0.1) == ("wall", True)
    # Its own processes are in each other's way: ten a core.
    busy = "import os\nfor _ in range(10 * os.cpu_count()):\n    if not os.fork(): break\nwhile True: pass"
    kept = slot.run(plain(busy, wall=1.0))
    assert kept.end == "wall"
    assert kept.waited > 0.4
