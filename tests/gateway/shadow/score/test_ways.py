"""What was learnt of a task's own solution is not learnt again, and nothing else is kept."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.shadow.sandbox.job import Kind, Limits
from gateway.shadow.sandbox.level import Level
from gateway.shadow.score.check import Checker
from gateway.shadow.score.samples import Sample
from gateway.shadow.score.slots import Where, bare_python
from gateway.shadow.score.ways import Ways, ways_file
from tests.fakes.slot import Script, ScriptedSlot, ends, fails, passes
from tests.gateway.shadow.score.test_check import script, task, unplain


def kinds(file: Path | None, run: Script, text: str = "    return 7") -> list[str]:
    """Of the jobs that a sample comes to, in a process that has just been started."""
    slot = ScriptedSlot(run)
    Checker(Level.BUBBLEWRAP, Limits(), Ways(file)).check(Sample(task(), text, 10), slot)
    return slot.kinds


def test_what_passed_apart_is_run_apart_from_then_on(tmp_path: Path) -> None:
    file = tmp_path / "ways.jsonl"
    assert kinds(file, passes) == ["separate", "separate"]
    assert kinds(file, passes) == ["separate"]
    # A value that can't cross gets its second chance all the same.
    assert kinds(file, script(unplain, passes)) == ["separate", "in-process"]


def test_a_value_that_can_not_cross_can_not_the_next_time(tmp_path: Path) -> None:
    file, run = tmp_path / "ways.jsonl", script(passes, passes, canonical=unplain)
    assert kinds(file, run) == ["separate", "in-process"]
    assert kinds(file, run) == ["in-process"]


@pytest.mark.parametrize("end", ["exited", "wall", "cpu", "lost", "memory"])
def test_what_may_come_out_otherwise_is_not_kept(tmp_path: Path, end: str) -> None:
    file = tmp_path / "ways.jsonl"
    assert kinds(file, script(passes, passes, canonical=lambda _: ends(end)))[0] == "separate"
    assert kinds(file, script(passes, passes, canonical=fails))[0] == "separate"
    assert kinds(file, passes) == ["separate", "separate"]


def test_what_is_learnt_is_of_one_version_of_a_task(tmp_path: Path) -> None:
    ways = Ways(tmp_path / "ways.jsonl")
    ways.learn(task(), Kind.SEPARATE)
    assert ways.of(replace(task(), task_id="another/name")) is Kind.SEPARATE
    for change in ({"test": "import unittest\n"}, {"canonical_solution": "    return 1 + x"}, {"entry_point": "g"}):
        assert ways.of(task(**change)) is None


def test_lines_that_are_none_of_ours_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "ways.jsonl"
    Ways(file).learn(task(), Kind.IN_PROCESS)
    ours = file.read_text()
    file.write_text(f'nonsense\n[]\n{{"task": "x", "way": "plain"}}\n{{"way": 1}}\n{ours}{ours[:20]}')
    assert Ways(file).of(task()) is Kind.IN_PROCESS


def test_a_file_that_can_not_be_written_is_as_none(tmp_path: Path) -> None:
    ways = Ways(tmp_path)  # a folder
    ways.learn(task(), Kind.SEPARATE)
    assert ways.of(task()) is Kind.SEPARATE
    (tmp_path / "taken").write_text("")
    assert ways_file(Where(bare_python(tmp_path), (), "x"), Level.BUBBLEWRAP, tmp_path / "taken") is None


def test_libraries_and_levels_have_files_of_their_own_and_old_ones_go(tmp_path: Path) -> None:
    python, folder = bare_python(tmp_path / "python"), tmp_path / "ways"
    first = ways_file(Where(python, (), "none"), Level.BUBBLEWRAP, folder)
    assert first is not None
    os.utime(first, (0, 0))
    others = {ways_file(Where(python, (), f"set {number}"), Level.LANDLOCK, folder) for number in range(8)}
    assert len(others) == 8
    assert {*folder.iterdir()} == others
