"""Environments made with a set of one small package of our own, which pip finds in a folder: no index is asked."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import venv
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.shadow.environment import MARKER, EnvironmentMissing, find
from gateway.shadow.environment.pip import Pip, SetupError
from gateway.shadow.environment.python import Python
from gateway.shadow.environment.sets import RequirementSet
from gateway.shadow.environment.setup import Progress, Result, set_up

PYTHON = Path(sys.executable)
pytestmark = pytest.mark.timeout(600)  # virtual environments are made: seconds each, and more on a busy machine


class Bench:
    """A set ``tiny`` whose package ``measure`` is what ``source`` says, and where its environment goes."""

    def __init__(self, folder: Path) -> None:
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        self.folder = folder / "made" / "scoring"
        self.steps: list[str] = []
        self.packages: list[tuple[str, int, int]] = []
        self.tiny = self.set_of("VERDICT = 1\n", folder / "tiny.txt")

    def set_of(self, source: str, pins: Path, extra: str = "") -> RequirementSet:
        digest = _wheel(self.wheels, source)
        pins.write_text(f"measure==1.0 \\\n    --hash=sha256:{digest}\n{extra}", encoding="utf-8")
        return RequirementSet("tiny", (pins,), ("json", "measure"))

    def set_up(self, chosen: RequirementSet | None = None, python: Path = PYTHON) -> Result:
        chosen = chosen or self.tiny
        progress = Progress(self.steps.append, lambda *package: self.packages.append(package))
        return set_up(self.folder, chosen, python, progress, {chosen.name: chosen})


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(bench.wheels))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))  # a setting that would put packages elsewhere
    return bench


def _wheel(folder: Path, source: str) -> str:
    """Returns its sha256."""
    about = "measure-1.0.dist-info"
    files = {
        "measure.py": source,
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: measure\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [f"{name},sha256={_record(text)},{len(text.encode())}" for name, text in files.items()]
    files[f"{about}/RECORD"] = "\n".join([*lines, f"{about}/RECORD,,"])
    path = folder / "measure-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _record(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def test_an_environment_of_its_own_with_the_set_and_nothing_of_ours(bench: Bench) -> None:
    before = os.umask(0o077)
    try:
        made = bench.set_up()
    finally:
        os.umask(before)
    assert made.made
    found = find(bench.folder, {"tiny": bench.tiny})
    assert found == made.environment
    assert found.name == f"tiny-{bench.tiny.digest}"
    assert found.preload == ("json", "measure")
    ask = "import sys; from importlib.util import find_spec as f; print(sys.prefix, *map(bool, map(f, sys.argv[1:])))"
    command = [found.python, "-I", "-c", ask, "measure", "litestar"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(bench.folder), "True", "False"]
    assert ("measure", 1, 1) in bench.packages
    _is_readable_by_other_users(bench.folder)
    _is_left_alone_when_done_again(bench)


def _is_readable_by_other_users(folder: Path) -> None:
    inside = [folder, *(folder / "bin").iterdir(), *(folder / "lib").rglob("*")]
    assert [path for path in inside if path.stat().st_mode & 0o004 == 0] == []


def _is_left_alone_when_done_again(bench: Bench) -> None:
    steps = len(bench.steps)
    before = {path: path.lstat().st_mtime_ns for path in bench.folder.rglob("*")}
    assert not bench.set_up().made
    assert len(bench.steps) == steps
    assert {path: path.lstat().st_mtime_ns for path in bench.folder.rglob("*")} == before


def test_what_was_interrupted_or_has_other_versions_is_made_anew(bench: Bench) -> None:
    pins = bench.tiny.files[0]
    broken = bench.set_of("raise RuntimeError('half')\n", pins)
    with pytest.raises(SetupError, match="measure cannot be imported: RuntimeError: half"):
        bench.set_up(broken)
    with pytest.raises(EnvironmentMissing, match="was not completed: run `yardstick shadow setup --folder"):
        find(bench.folder, {"tiny": broken})
    (bench.folder / "left over").mkdir()
    whole = bench.set_of("VERDICT = 2\n", pins)
    assert bench.set_up(whole).made
    assert not (bench.folder / "left over").exists()
    newer = bench.set_of("VERDICT = 3\n", pins)
    with pytest.raises(EnvironmentMissing, match="other versions than this yardstick: run `yardstick shadow setup"):
        find(bench.folder, {"tiny": newer})
    assert bench.set_up(newer).made


def test_a_python_that_is_gone(bench: Bench) -> None:
    (bench.folder / "bin").mkdir(parents=True)
    (bench.folder / "bin" / "python").symlink_to(bench.folder / "nowhere")
    (bench.folder / MARKER).write_text(json.dumps({"set": "tiny", "digest": bench.tiny.digest}))
    with pytest.raises(EnvironmentMissing, match="leads to a Python that is gone"):
        find(bench.folder, {"tiny": bench.tiny})


def test_why_a_package_could_not_be_installed(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    pip = Pip(tmp_path / "venv" / "bin" / "python", tmp_path / "pip.log", lambda *_: None)
    pins = bench.tiny.files[0]
    _wheel(bench.wheels, "VERDICT = 'forged'\n")
    with pytest.raises(SetupError, match=r"not the one that was pinned.*pip\.log"):
        pip.install(pins)
    bench.set_of("VERDICT = 1\n", pins, extra=f"absent==2.0 \\\n    --hash=sha256:{'0' * 64}\n")
    with pytest.raises(SetupError, match=r"the index has no absent==2\.0 for this Python and machine"):
        pip.install(pins)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(SetupError, match="the package index cannot be reached: check the network"):
        pip.install(pins)


def test_a_larger_set_serves_who_wants_the_smaller_but_not_the_other_way(bench: Bench) -> None:
    large = replace(bench.tiny, name="large", serves=("tiny",))
    sets = {"tiny": bench.tiny, "large": large}
    quiet = Progress(lambda _: None, lambda *_: None)
    assert set_up(bench.folder, bench.tiny, PYTHON, quiet, sets).environment.name.startswith("tiny")
    assert set_up(bench.folder, large, PYTHON, quiet, sets).made
    result = set_up(bench.folder, bench.tiny, PYTHON, quiet, sets)
    assert not result.made
    assert result.environment.name.startswith("large")


def test_libraries_that_start_threads_are_not_preloaded(bench: Bench) -> None:
    source = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    with pytest.raises(SetupError, match="left 2 threads, and a fork server needs 1"):
        bench.set_up(bench.set_of(source, bench.tiny.files[0]))


def test_a_folder_with_something_else_in_it_is_left_alone(bench: Bench) -> None:
    bench.folder.mkdir(parents=True)
    (bench.folder / "thesis.txt").write_text("years of work")
    with pytest.raises(SetupError, match="holds something else"):
        bench.set_up()
    assert [path.name for path in bench.folder.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way(bench: Bench) -> None:
    bench.folder.parent.mkdir()
    bench.folder.write_text("")
    with pytest.raises(SetupError, match="is a file: give another --folder"):
        bench.set_up()


def test_two_at_once(bench: Bench) -> None:
    bench.folder.parent.mkdir()
    with bench.folder.with_name("scoring.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SetupError, match=r"another setup of .* is running"):
            bench.set_up()
    assert not bench.folder.exists()


def _answering(path: Path, about: object) -> Path:
    """A Python that says this of itself, whatever it is asked."""
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(about)}\nEND\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"version": [3, 9, 2]}, r"pinned for Python 3\.11 to 3\.13, and .* is 3\.9\.2: name another with --python"),
        ({"version": [3, 14, 0]}, r"and .* is 3\.14\.0"),
        ({"system": "darwin"}, "pinned for Linux with glibc"),
        ({"machine": "riscv64"}, "on riscv64"),
        ({"libc": ""}, "without glibc: use a container"),
        (
            {"missing": ["ensurepip"]},
            r"has no ensurepip module. On Debian and Ubuntu: apt-get install -y python3\.12-venv",
        ),
    ],
)
def test_a_python_that_will_not_do(tmp_path: Path, said: dict[str, object], reason: str) -> None:
    about = {"version": [3, 12, 1], "system": "linux", "machine": "x86_64", "libc": "glibc", "missing": [], **said}
    with pytest.raises(SetupError, match=reason):
        Python.asked(_answering(tmp_path / "python", about))


def test_no_python_at_all(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="is no Python that runs: name another with --python"):
        bench.set_up(python=tmp_path / "absent")
    with pytest.raises(SetupError, match="is no Python that runs"):
        Python.asked(_answering(tmp_path / "python", "hello"))
