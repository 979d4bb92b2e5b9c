"""Which Python samples are run with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.shadow.score.slots import BARE, CannotScore, bare_python, where
from gateway.shadow.suites.task import SuiteKind


def test_a_bare_python_has_the_standard_library_alone(tmp_path: Path) -> None:
    python = bare_python(tmp_path)
    code = "import sys, json, pkgutil; print(sorted(m.name for m in pkgutil.iter_modules() if m.name not in"
    done = subprocess.run(
        [python, "-I", "-c", f"{code} sys.stdlib_module_names and not m.name.startswith('_')))"],
        capture_output=True,
        text=True,
        check=True,
    )
    foreign = set(done.stdout.strip("[]\n").replace("'", "").split(", ")) - {""}
    assert not foreign & {"numpy", "pytest", "click", "pip", "setuptools", "gateway"}
    assert bare_python(tmp_path) == python
    assert [path.name for path in tmp_path.iterdir()] == [python.parent.parent.name]


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(CannotScore, match="an empty environment to score in, can't be made"):
        bare_python(tmp_path / "cache")


def test_no_environment_is_named_by_the_version_of_its_python(tmp_path: Path) -> None:
    code = "import platform; print(platform.python_version())"
    done = subprocess.run([bare_python(tmp_path), "-I", "-c", code], capture_output=True, text=True, check=True)
    assert f"none (the standard library of Python {done.stdout.strip()})" == BARE


def test_only_five_does_without_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert where(None, SuiteKind.FIVE).name == BARE
    for folder, kind in ((None, SuiteKind.BIGCODEBENCH), (tmp_path / "none", SuiteKind.FIVE)):
        with pytest.raises(CannotScore, match="yardstick shadow setup"):
            where(folder, kind)
