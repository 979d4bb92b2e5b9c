"""Nothing is scored at a level that was not proven here; a proof is noted, and used under the same circumstances."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.shadow.sandbox.attacks.verdict import Row
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.proof import Proof
from gateway.shadow.score.proven import circumstances, level_that_holds
from gateway.shadow.score.slots import CannotScore

PYTHON = Path(sys.executable)


class Trial:
    """A proof with a known result, that counts how often it was asked for."""

    def __init__(self, *, weak: Level | None = None, rows: bool = True) -> None:
        self.tried = list[Level]()
        self._weak, self._has_rows = weak, rows

    def __call__(self, level: Level, python: Path) -> Proof:
        self.tried.append(level)
        rows = Row("kill", True, "EPERM"), Row("write outside", level is not self._weak, "wrote")
        return Proof(level, rows if self._has_rows else (), 0.0)


def chosen(trial: Trial, folder: Path, wanted: Level | None = None, **obstacles: str) -> Level:
    return level_that_holds(
        wanted, PYTHON, trial, obstacle=lambda level, python: obstacles.get(level.value), folder=folder
    )


def test_the_strongest_level_is_proven_once(tmp_path: Path) -> None:
    trial = Trial()
    for _ in range(2):
        assert chosen(trial, tmp_path / "cache") is Level.BUBBLEWRAP
    assert chosen(trial, tmp_path / "cache", Level.LANDLOCK) is Level.LANDLOCK
    assert trial.tried == [Level.BUBBLEWRAP, Level.LANDLOCK]


def test_what_can_not_start_or_does_not_hold_is_passed_over(tmp_path: Path) -> None:
    assert chosen(Trial(), tmp_path, bubblewrap="it is not installed") is Level.LANDLOCK
    assert chosen(Trial(weak=Level.BUBBLEWRAP), tmp_path) is Level.LANDLOCK


def test_where_none_holds_each_is_told_every_time(tmp_path: Path) -> None:
    trial = Trial(weak=Level.LANDLOCK)
    for _ in range(2):
        with pytest.raises(CannotScore) as caught:
            chosen(trial, tmp_path, bubblewrap="it is not installed")
    assert trial.tried == [Level.LANDLOCK] * 2
    assert str(caught.value).splitlines() == [
        "no sandbox holds here, and answers are never run without one",
        "bubblewrap: it is not installed",
        "landlock: not every attack was stopped: write outside (wrote). `yardstick shadow sandbox` shows them all",
    ]


def test_the_level_that_was_asked_for_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(CannotScore, match="bubblewrap: it is not installed"):
        chosen(Trial(), tmp_path, Level.BUBBLEWRAP, bubblewrap="it is not installed")


def test_nothing_tried_is_no_proof(tmp_path: Path) -> None:
    with pytest.raises(CannotScore, match="none was tried"):
        chosen(Trial(rows=False), tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[1, null]", "[", "\0"])
def test_notes_that_are_none_are_made_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "sandbox-proofs.json").write_text(content)
    trial = Trial()
    for _ in range(2):
        chosen(trial, tmp_path)
    assert len(trial.tried) == 1


def test_notes_that_can_not_be_written_cost_time_only(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert chosen(Trial(), tmp_path / "cache") is Level.BUBBLEWRAP


def test_another_python_is_another_proof(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text("")
    assert len({circumstances(level, python) for level in Level for python in (PYTHON, other)}) == 4
