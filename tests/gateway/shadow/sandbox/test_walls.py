"""What hostile code finds around it."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.shadow.sandbox.job import Job, Kind, Limits
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.slot import Slot


def told(slot: Slot, code: str, **limits: Any) -> dict[str, Any]:
    """The one line that plain code reports."""
    outcome = slot.run(Job(Kind.PLAIN, code, limits=Limits(**limits)))
    assert (outcome.end, len(outcome.lines), outcome.garbled) == ("exited", 1, False)
    return outcome.lines[0]


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours outside, which nothing inside may reach."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    yield process
    process.kill()
    process.wait()


def test_it_has_no_privileges(slot: Slot) -> None:
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
result = libc.syscall({"x86_64": 125, "aarch64": 90}[os.uname().machine], header, data)
report({"capget": result, "capabilities": list(data), "bounding": [libc.prctl(23, n, 0, 0, 0) for n in range(41)],
        "no_new_privs": libc.prctl(39, 0, 0, 0, 0), "seccomp": libc.prctl(21, 0, 0, 0, 0),
        "uid": os.getuid(), "groups": os.getgroups()})
"""
    found = told(slot, code)
    assert (found["capget"], found["no_new_privs"], found["seccomp"]) == (0, 1, 2)
    assert not any(found["capabilities"])
    assert found["uid"] != 0
    if slot.level is Level.BUBBLEWRAP:
        assert not any(found["bounding"])
    if os.getuid() == 0:
        assert found["groups"] == []


def test_it_holds_no_descriptor_but_its_report(slot: Slot) -> None:
    code = """
import os
open_ = []
for descriptor in range(4096):
    try: open_.append((descriptor, os.fstat(descriptor).st_mode >> 12))
    except OSError: pass
report({"open": open_})
"""
    opened = told(slot, code)["open"]
    character, fifo = 2, 1
    assert [kind for _, kind in opened] == [character] * 3 + [fifo]


def test_its_environment_is_what_we_say(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YARDSTICK_SECRET", "hunter2")
    found = told(slot, "import os; report(dict(os.environ))")
    assert found["TZ"] == "UTC"
    assert found["PYTHONHASHSEED"] == "0"
    assert not [name for name in found if "YARDSTICK" in name or "SSH" in name]


def test_hashes_and_random_numbers_are_those_of_a_fresh_process(slot: Slot) -> None:
    code = "import random; report({'hash': hash('text'), 'random': random.random()})"
    first, second = told(slot, code), told(slot, code)
    assert first["hash"] == second["hash"]
    assert first["random"] != second["random"]


def test_limits_are_set_and_cannot_be_raised(slot: Slot) -> None:
    code = """
import os, resource
names = ("RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_MSGQUEUE")
raised = []
for name in names:
    try:
        resource.setrlimit(getattr(resource, name), (1 << 40, 1 << 40))
        raised.append(name)
    except (OSError, ValueError): pass
report({"limits": [resource.getrlimit(getattr(resource, name)) for name in names], "raised": raised,
        "nice": os.getpriority(os.PRIO_PROCESS, 0), "session": os.getsid(0) == os.getpid()})
"""
    found = told(slot, code, cpu=7.0, files=1 << 20)
    assert found["limits"] == [[1, 1], [9, 9], [1 << 20, 1 << 20], [0, 0]]
    assert (found["raised"], found["nice"], found["session"]) == ([], 19, True)


def test_it_can_write_nowhere_but_to_its_own_folder(slot: Slot) -> None:
    """Tried are all folders here that others may write to, and all that the code finds."""
    here = [folder for folder, _, _ in os.walk("/") if folder.count("/") < 4 and os.stat(folder).st_mode & 0o002]
    code = f"""
import os
written, own = [], os.getcwd()
found = [folder for folder, _, _ in os.walk("/") if folder.count("/") < 4 and not folder.startswith("/proc")]
for folder in [own, *{here!r}, *found]:
    try:
        with open(os.path.join(folder, "written"), "w"): written.append(folder)
    except OSError: pass
report({{"written": written, "own": own}})
"""
    assert {"/tmp", "/dev/shm"} <= set(here)
    found = told(slot, code)
    own = {"/tmp", "/var/tmp", "/dev/shm", "/run/job/tmp", "/run/job/shm", "/run/job"}
    assert found["own"] in found["written"]
    assert set(found["written"]) <= (own if slot.level is Level.BUBBLEWRAP else {found["own"]})
    assert not [folder for folder in here if Path(folder, "written").exists()]


def test_host_files_cannot_be_read(slot: Slot, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        if folder.owner() == Path.home().owner() and folder != Path("/tmp"):
            folder.chmod(0o755)
    paths = [
        str(secret),
        "/etc/shadow",
        "/etc/machine-id",
        "/root/.bashrc",
        str(Path.home()),
        f"/proc/{os.getpid()}/environ",
    ]
    code = f"""
read = []
for path in {paths!r}:
    try:
        open(path, "rb").read(1)
        read.append(path)
    except OSError: pass
report({{"read": read}})
"""
    assert told(slot, code) == {"read": []}


def test_no_process_outside_can_be_reached(slot: Slot, bystander: subprocess.Popen[bytes]) -> None:
    code = f"""
import os, resource, signal
reached = []
for name, reach in {{
    "signal": lambda pid: os.kill(pid, 0),
    "limits": lambda pid: resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0)),
    "affinity": lambda pid: os.sched_setaffinity(pid, {{0}}),
    "memory": lambda pid: open(f"/proc/{{pid}}/mem", "rb"),
}}.items():
    for pid in ({bystander.pid}, {os.getpid()}, os.getppid() or os.getpid() + 10_000_000):
        try: reach(pid)
        except OSError: continue
        reached.append((name, pid))
try: os.kill(-1, signal.SIGKILL)
except OSError: pass
report({{"reached": reached}})
"""
    outcome = slot.run(Job(Kind.PLAIN, code))
    assert outcome.lines == ({"reached": []},)
    assert bystander.poll() is None
    assert told(slot, "report({'still': 'serving'})") == {"still": "serving"}


def test_every_signal_to_everything_reaches_nobody_else(slot: Slot, bystander: subprocess.Popen[bytes]) -> None:
    """The server's own way to end a job, kill(-1), is tried by each job's end; here the job tries it itself."""
    code = "import os\nfor number in range(1, 32):\n    try: os.kill(-1, number)\n    except OSError: pass\n"
    for _ in range(3):
        assert slot.run(Job(Kind.PLAIN, code)).end == "exited"
    assert bystander.poll() is None


def test_no_network_leads_outside(slot: Slot) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"""
import socket
reached = []
for address in ("127.0.0.1", {server.getsockname()[1]}), ("192.0.2.1", 80):
    try:
        with socket.socket() as made:
            made.settimeout(2)
            made.connect(address)
            reached.append(address)
    except OSError: pass
report({{"reached": reached}})
"""
        assert told(slot, code) == {"reached": []}


def test_its_own_loopback_works(slot: Slot) -> None:
    code = """
import socket, threading
server = socket.create_server(("127.0.0.1", 8765))
threading.Thread(target=lambda: server.accept()[0].sendall(b"hello")).start()
report({"said": socket.create_connection(("127.0.0.1", 8765)).recv(5).decode()})
"""
    if slot.level is Level.LANDLOCK:
        assert slot.run(Job(Kind.PLAIN, code)).lines == ()
        return
    for _ in range(2):  # the last job's connection does not keep the port from this one
        assert told(slot, code) == {"said": "hello"}


def test_no_user_namespace_can_be_made(slot: Slot) -> None:
    code = """
import subprocess
done = subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True, text=True)
report({"failed": done.returncode != 0, "said": done.stderr})
"""
    assert told(slot, code)["failed"]


CANDIDATE = """
import os

def processes():
    try:
        return sorted(name for name in os.listdir("/proc") if name.isdigit())
    except PermissionError:
        return []

def signals():
    reached = []
    for pid in {*range(1, 500), *range(max(os.getpid() - 300, 1), os.getpid() + 300)}:
        try: os.kill(pid, 0)
        except OSError: continue
        if pid != os.getpid(): reached.append(pid)
    return reached
"""
TESTS = """
import unittest
class TestCases(unittest.TestCase):
    def test_processes(self): self.assertEqual(task_func(), {expected})
"""


@pytest.mark.parametrize(("function", "expected"), [("processes", ["1"]), ("signals", [])])
def test_a_candidate_cannot_see_the_process_of_its_tests(slot: Slot, function: str, expected: list[Any]) -> None:
    want = [] if slot.level is Level.LANDLOCK else expected  # there is no /proc to be listed there
    source = f"{CANDIDATE}\ntask_func = {function}\n"
    task = {
        "prelude": "",
        "tests": TESTS.format(expected=want),
        "entry_point": "task_func",
        "names": ["test_processes"],
    }
    outcome = slot.run(Job(Kind.SEPARATE, source, task))
    assert outcome.lines == ({"test": "test_processes", "outcome": "pass", "reason": ""}, {"end": True})


def test_the_host_keeps_its_own_limits(slot: Slot) -> None:
    before = (
        resource.getrlimit(resource.RLIMIT_NPROC),
        signal.getsignal(signal.SIGCHLD),
        os.getpriority(os.PRIO_PROCESS, 0),
    )
    told(slot, "report({})")
    assert before == (
        resource.getrlimit(resource.RLIMIT_NPROC),
        signal.getsignal(signal.SIGCHLD),
        os.getpriority(os.PRIO_PROCESS, 0),
    )
