"""`yardstick shadow setup`, as a process: what is printed where, and the exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.shadow.setup import setup
from gateway.shadow.environment import MARKER
from gateway.shadow.environment.sets import FULL, LIGHT


def _complete(folder: Path, chosen: str, digest: str) -> None:
    """An environment as setup leaves it, as far as it is looked at before anything is installed."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    marker = {"set": chosen, "digest": digest, "python": "3.11.7", "packages": 66}
    (folder / MARKER).write_text(json.dumps(marker))


def test_one_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "yardstick" / "scoring"
    _complete(folder, "full", FULL.digest)
    said = CliRunner().invoke(setup, [])
    assert said.exit_code == 0
    assert said.stdout == f"{folder}: there already, nothing to do (full set, 66 packages, Python 3.11.7)\n"
    as_json = CliRunner().invoke(setup, ["--full", "--json"])
    assert json.loads(as_json.stdout) == {
        "folder": str(folder),
        "python": str(folder / "bin" / "python"),
        "python_version": "3.11.7",
        "name": f"full-{FULL.digest}",
        "packages": 66,
        "made": False,
    }


def test_what_stands_in_the_way_is_said_on_stderr(tmp_path: Path) -> None:
    folder = tmp_path / "scoring"
    _complete(folder, "light", LIGHT.digest)
    said = CliRunner().invoke(setup, ["--full", "--folder", str(folder), "--python", str(tmp_path / "absent")])
    assert said.exit_code == 1
    assert said.stdout == ""
    assert said.stderr == f"{tmp_path / 'absent'} is no Python that runs: name another with --python\n"
    assert (folder / MARKER).exists()  # what was there still works
