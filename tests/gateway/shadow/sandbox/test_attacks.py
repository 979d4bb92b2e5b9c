"""Every attack at every level that can start here, by who runs the tests; if that is root, by an ordinary user too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.shadow.sandbox import fork_server
from gateway.shadow.sandbox.attacks import ATTACKS, LISTED, Attack
from gateway.shadow.sandbox.attacks.verdict import Row
from gateway.shadow.sandbox.enter import unreachable
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.proof import prove
from tests.gateway.shadow.sandbox import attacked

REPOSITORY = Path(__file__).parents[4]
UID = 60_986  # of nobody here
USERS = ("root", "ordinary user") if os.getuid() == 0 else ("this user",)

Rows = dict[str, Row]


@pytest.fixture(scope="module", params=USERS)
def rows(request: pytest.FixtureRequest, level: Level, python: Path) -> Iterator[Rows]:
    """What came of the attacks, which are run together, as a proof runs them."""
    if request.param != "ordinary user":
        yield {row.attack: row for row in prove(level, python).rows}
        return
    home = Path(tempfile.mkdtemp(prefix="yardstick-attacks-"))
    try:
        yield by_ordinary_user(level, readable(python), home)
    finally:
        shutil.rmtree(home)


def readable(python: Path) -> Path:
    """A Python that the ordinary user can run."""
    for candidate in (python, Path("/usr/bin/python3"), Path("/usr/local/bin/python3")):
        if candidate.exists() and unreachable(os.path.realpath(candidate), UID) is None:
            return candidate
    pytest.skip(f"no Python that an ordinary user can run: {python} is closed to others")


def by_ordinary_user(level: Level, python: Path, home: Path) -> Rows:
    """The same, with a copy of the sandbox in that user's own folder, as the checkout may be closed to him."""
    for name in ("gateway/__init__.py", "gateway/shadow/__init__.py"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, home / name)
    shutil.copytree(REPOSITORY / "gateway/shadow/sandbox", home / "gateway/shadow/sandbox")
    shutil.copy(attacked.__file__, home / "attacked.py")
    for path in (home, *home.rglob("*")):
        os.chown(path, UID, UID)
    done = subprocess.run(
        [python, home / "attacked.py", level, python],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        user=UID,
        group=UID,
        extra_groups=[],
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    if answer["obstacle"] is not None:
        pytest.skip(answer["obstacle"])
    return {row["attack"]: Row(**row) for row in answer["rows"]}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.file)
def test_is_stopped(attack: Attack, rows: Rows) -> None:
    row = rows[attack.name]
    assert row.stopped, row.how
    assert row.how


def test_the_list_is_whole() -> None:
    assert len(LISTED) == 26
    assert len({attack.name for attack in ATTACKS}) == len({attack.file for attack in ATTACKS}) == len(ATTACKS)


def test_other_children_of_this_process_are_not_the_slots(level: Level, python: Path) -> None:
    with subprocess.Popen(["true"]) as other:
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked it yet
        (row,) = prove(level, python, [attack for attack in ATTACKS if attack.file == "mount"]).rows
    assert row.stopped, row.how


def test_a_server_that_the_host_ends_itself_was_not_killed(
    level: Level, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot with a memory cgroup does so if its server is slow to end what has run out of memory."""
    monkeypatch.setattr(fork_server, "_LOOK_EVERY", 0.001)
    tried = [attack for attack in ATTACKS if attack.file in ("hidden_memory", "mount")]
    for row in prove(level, python, tried).rows:
        assert row.stopped, row.how
