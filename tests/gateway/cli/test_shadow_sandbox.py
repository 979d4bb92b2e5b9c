"""`yardstick shadow sandbox`: what it says, in both forms, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.shadow.sandbox import sandbox
from gateway.shadow.sandbox.attacks import ATTACKS
from tests.gateway.shadow.walls import need_any


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sandbox, arguments)


def test_json_says_which_level_holds_and_what_became_of_each_attack() -> None:
    result = run("--level", need_any().value, "--json")
    document = json.loads(result.stdout)
    (level,) = document["levels"]
    assert [row for row in level["attacks"] or () if not row["stopped"]] == []
    assert (level["holds"], level["obstacle"]) == (True, None)
    assert (result.exit_code, document["level"]) == (0, need_any())
    assert [row["attack"] for row in level["attacks"]] == [attack.name for attack in ATTACKS]
    assert all(row["stopped"] and row["how"] and row["tries"] for row in level["attacks"])


def test_text_has_a_line_an_attack() -> None:
    result = run("--level", need_any().value)
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert len(lines) == len(ATTACKS) + 1
    assert lines[-1].startswith(f"{need_any()} holds: {len(ATTACKS)} of {len(ATTACKS)} attacks stopped")


def test_a_level_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("--level", "bubblewrap")
    assert result.exit_code == 1
    assert "bubblewrap can't start here: bubblewrap is not installed" in result.stdout
    assert "No level holds here" in result.stdout


def test_an_environment_that_is_none_is_an_error(tmp_path: Path) -> None:
    result = run("--environment", str(tmp_path))
    assert result.exit_code == 1
    assert str(tmp_path) in result.stderr
