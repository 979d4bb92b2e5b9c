"""What a Python needs is shown to the code that is run; one that would show a home directory is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gateway.shadow.sandbox.interpreter import SandboxError, examine


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "homes" / "ann"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    return home


def environment(python: Path, folder: Path) -> Path:
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin" / "python"


def says_of_itself(folder: Path, prefix: str) -> Path:
    """In place of a Python, whose prefix could not be made such."""
    command = folder / "python"
    command.write_text(f"#!/bin/sh\nexec echo '{json.dumps([prefix] * 7)}'\n")
    command.chmod(0o755)
    return command


def test_an_environment_that_is_a_home_is_refused(home: Path, python: Path) -> None:
    with pytest.raises(SandboxError, match="python3 -m venv FOLDER") as caught:
        examine(environment(python, home))
    assert f"the home {home}," in str(caught.value)


def test_an_environment_with_a_home_in_it_is_refused(home: Path, python: Path) -> None:
    with pytest.raises(SandboxError, match=f"{home.parent}, with the home directory {home},"):
        examine(environment(python, home.parent))


def test_a_link_to_a_home_is_no_way_around(home: Path, python: Path, tmp_path: Path) -> None:
    environment(python, home)
    (tmp_path / "link").symlink_to(home)
    with pytest.raises(SandboxError, match=f"the home {home},"):
        examine(tmp_path / "link" / "bin" / "python")


def test_an_environment_in_a_home_is_not(home: Path, python: Path) -> None:
    assert str(home / "environment") in examine(environment(python, home / "environment")).folders


def test_the_whole_file_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="the whole file system"):
        examine(says_of_itself(tmp_path, "/"))


def test_homes_of_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="/root"):
        examine(says_of_itself(tmp_path, "/root"))
