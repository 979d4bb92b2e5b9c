"""What keeps a level from starting is said with what to do about it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.shadow.sandbox.cgroup import last_cgroup, memory_cgroup
from gateway.shadow.sandbox.enter import unreachable
from gateway.shadow.sandbox.interpreter import examine
from gateway.shadow.sandbox.job import Job, Kind
from gateway.shadow.sandbox.level import Level, obstacle
from gateway.shadow.sandbox.slot import Slot
from gateway.shadow.sandbox.users import own_user

Command = Callable[[str], None]


@pytest.fixture
def bwrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Puts a command of our own in bubblewrap's place."""

    def put(script: str) -> None:
        command = tmp_path / "bwrap"
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        for folder in (tmp_path, *tmp_path.parents):
            if folder != Path("/tmp") and folder.is_relative_to("/tmp"):
                folder.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return put


def test_a_level_that_was_tried_has_no_obstacle(level: Level, python: Path) -> None:
    assert obstacle(level, python) is None


def test_without_bubblewrap_its_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, python: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install -y bubblewrap" in (obstacle(Level.BUBBLEWRAP, python) or "")


def test_an_old_bubblewrap_is_named(bwrap: Command, python: Path) -> None:
    bwrap("echo bubblewrap 0.6.1")
    assert "bubblewrap 0.8 or newer" in (obstacle(Level.BUBBLEWRAP, python) or "")


def test_forbidden_namespaces_are_explained(bwrap: Command, python: Path) -> None:
    bwrap('[ "$1" = --version ] && exec echo bubblewrap 0.8.0; echo "bwrap: setting up uid map: Permission denied" >&2')
    reason = obstacle(Level.BUBBLEWRAP, python) or ""
    assert "uid map: Permission denied" in reason
    assert "landlock" in reason


@pytest.mark.parametrize("level", list(Level))
def test_a_python_that_does_not_run_is_named(level: Level, tmp_path: Path) -> None:
    assert "does not run" in (obstacle(level, tmp_path / "python") or "")


def test_an_environment_behind_links_runs(level: Level, tmp_path: Path, python: Path) -> None:
    """A virtual environment in a closed folder, reached by a link, made from a Python that is a link itself."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python").symlink_to(python)
    subprocess.run([closed / "python", "-m", "venv", "--without-pip", closed / "environment"], check=True)
    (next((closed / "environment").glob("lib/*/site-packages")) / "late.py").touch()
    (tmp_path / "link").symlink_to(closed / "environment")
    with Slot(level, tmp_path / "link" / "bin" / "python") as slot:
        code = "import importlib, os, sys; importlib.import_module('late'); report({'prefix': sys.prefix})"
        lines = slot.run(Job(Kind.PLAIN, code)).lines
    assert os.path.realpath(lines[0]["prefix"]) == os.path.realpath(closed / "environment")


def test_folders_of_an_interpreter_do_not_lie_in_each_other(python: Path) -> None:
    found = examine(python).folders
    assert not [(a, b) for a in found for b in found if a != b and a.startswith(b + "/")]
    assert not [folder for folder in found if folder in ("/", "/usr")]


def test_the_folder_that_is_in_the_way_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    barrier = unreachable(str(closed / "inner"), os.getuid() + 1)
    assert barrier is not None
    assert str(closed).startswith(barrier)
    assert unreachable("/usr/bin/env", 12345) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives slots users of their own")
def test_slots_share_no_user(level: Level, python: Path) -> None:
    with Slot(level, python) as one, Slot(level, python) as other:
        uids = [
            slot.run(Job(Kind.PLAIN, "import os; report({'uid': os.getuid()})")).lines[0]["uid"]
            for slot in (one, other)
        ]
    assert len({*uids, 0}) == 3


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives slots users of their own")
def test_what_a_user_left_is_ended_and_nothing_else() -> None:
    user = own_user()
    assert user is not None
    theirs = subprocess.Popen(["/bin/sleep", "1000"], user=user.uid, group=user.uid, extra_groups=[])
    ours = subprocess.Popen(["/bin/sleep", "1000"])
    user.end_processes()
    assert theirs.wait(10) == -9
    assert ours.poll() is None
    ours.kill()
    ours.wait()
    user.release()


V1 = """31 23 0:28 / {root} rw - tmpfs tmpfs rw
33 31 0:30 / {root}/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / {root}/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / {root}/unified rw,relatime - cgroup2 cgroup2 rw
"""
V2 = "35 31 0:32 / {root} rw,relatime - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("mounts", "own", "where", "files"),
    [
        (
            V1,
            "5:cpu:/mine\n4:memory:/mine\n0::/\n",
            "memory/mine",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control", "cpu.shares"),
        ),
        (V2, "0::/mine/leaf\n", "mine", ("memory.max", "memory.current", "memory.events", "cpu.weight")),
    ],
    ids=["version 1", "version 2"],
)
def test_a_cgroup_is_made_where_the_kernel_lists_ours(
    tmp_path: Path, mounts: str, own: str, where: str, files: tuple[str, str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a folder that looks like cgroups: of version 2 a leaf, in which no child gets a memory limit."""
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    (root / where).mkdir(parents=True)
    (root / "mine" / "leaf").mkdir(parents=True, exist_ok=True)
    (root / "cpu" / "mine").mkdir(parents=True)
    proc.mkdir()
    (proc / "mountinfo").write_text(mounts.format(root=root))
    (proc / "cgroup").write_text(own)
    mkdir = Path.mkdir

    def with_files(folder: Path, *arguments: object, **options: object) -> None:
        mkdir(folder)
        if folder.parent in (root / where, root / "cpu" / "mine"):
            for name, content in zip(files, ("max", "1000", "oom_kill 3", "100"), strict=True):
                (folder / name).write_text(content)

    monkeypatch.setattr(Path, "mkdir", with_files)
    cgroup = memory_cgroup(proc)
    assert cgroup is not None
    folder = Path(cgroup.processes).parent
    assert folder.parent == root / where
    cgroup.bound(500)
    assert (folder / files[0]).read_text() == "1500"
    assert not cgroup.ran_out()
    (folder / files[2]).write_text("oom 9\noom_kill 4\n")
    assert cgroup.ran_out()
    last = last_cgroup(cgroup, proc)
    assert (last is None) is (mounts == V2)
    weighed = folder if last is None else Path(last.processes).parent
    assert weighed.parent == root / (where if last is None else "cpu/mine")
    assert (weighed / files[3]).read_text() == ("10" if last is None else "102")
