"""The rules, against a slot with a script: which runs a sample gets, and which of them decides."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.shadow.sandbox.job import Job, Kind, Limits, Outcome
from gateway.shadow.sandbox.level import Level
from gateway.shadow.score.check import Checker
from gateway.shadow.score.samples import Sample
from gateway.shadow.score.verdict import Verdict
from gateway.shadow.suites.task import Task
from tests.fakes.slot import Script, ScriptedSlot, ends, fails, in_turn, passes

SEPARABLE = """
import unittest
class TestCases(unittest.TestCase):
    def test_one(self):
        self.assertEqual(f(1), 2)
    def test_two(self):
        self.assertEqual(f(2), 3)
"""
PATCHING = SEPARABLE.replace("import unittest", "import unittest\nfrom unittest.mock import patch")


def task(**changes: Any) -> Task:
    fields: dict[str, Any] = {
        "task_id": "t/1",
        "complete_prompt": "def f(x):\n",
        "instruct_prompt": "",
        "canonical_solution": "    return x + 1",
        "code_prompt": "def f(x):",
        "test": SEPARABLE,
        "entry_point": "f",
    }
    return Task(**(fields | changes))


def is_canonical(job: Job) -> bool:
    return job.candidate.endswith("return x + 1")


def script(separate: Script, in_process: Script, canonical: Script = passes) -> Script:
    def run(job: Job) -> Outcome:
        if is_canonical(job):
            return canonical(job)
        return separate(job) if job.kind is Kind.SEPARATE else in_process(job)

    return run


def check(
    slot: ScriptedSlot, *, text: str = "    return 7", level: Level = Level.BUBBLEWRAP, **changes: Any
) -> Verdict:
    return Checker(level, Limits()).check(Sample(task(**changes), text, len(text)), slot)


def unplain(job: Job) -> Outcome:
    return fails(job, unplain="numpy.float64")


def test_a_pass_in_a_process_of_its_own_is_enough() -> None:
    slot = ScriptedSlot(passes)
    verdict = check(slot)
    assert (verdict.says, verdict.level, verdict.seconds, verdict.reason) == ("pass", "bubblewrap/separate", 0.25, "")
    canonical, job = slot.jobs
    assert is_canonical(canonical)
    assert job.candidate == "def f(x):\n    pass\n    return 7"
    assert job.task == {
        "prelude": "def f(x):\n    pass\n",
        "tests": SEPARABLE,
        "entry_point": "f",
        "names": ["test_one", "test_two"],
    }


def test_tests_that_reach_into_the_candidate_run_beside_it() -> None:
    slot = ScriptedSlot(passes)
    assert check(slot, test=PATCHING).level == "bubblewrap/in-process"
    assert slot.kinds == ["in-process"]


@pytest.mark.parametrize(
    "failing",
    [fails, lambda job: ends("cpu"), lambda job: ends("memory"), lambda job: ends("exited")],
    ids=["fails", "cpu", "memory", "silent"],
)
def test_a_failure_stands_where_the_canonical_solution_passes(failing: Script) -> None:
    """Although the sample would pass beside its tests: there it could forge that."""
    slot = ScriptedSlot(script(failing, passes))
    verdict = check(slot)
    assert verdict.says in ("fail", "timeout")
    assert verdict.level == "bubblewrap/separate"
    assert slot.kinds == ["separate", "separate"]
    assert [is_canonical(job) for job in slot.jobs] == [True, False]


def test_a_value_that_can_not_cross_gets_a_second_chance() -> None:
    slot = ScriptedSlot(script(unplain, passes))
    verdict = check(slot)
    assert (verdict.says, verdict.level) == ("pass", "bubblewrap/in-process")
    assert slot.kinds == ["separate", "separate", "in-process"]


def test_a_task_whose_own_value_can_not_cross_is_checked_in_process() -> None:
    slot, checker = ScriptedSlot(script(passes, passes, canonical=unplain)), Checker(Level.BUBBLEWRAP, Limits())
    verdicts = [checker.check(Sample(task(), text, 10), slot) for text in ("    return 7", "    return 8")]
    assert [verdict.level for verdict in verdicts] == ["bubblewrap/in-process"] * 2
    assert slot.kinds == ["separate", "in-process", "in-process"]


def test_a_sample_that_is_the_canonical_solution_shares_its_run() -> None:
    slot, checker = ScriptedSlot(script(fails, fails)), Checker(Level.BUBBLEWRAP, Limits())
    verdicts = [checker.check(Sample(task(), text, 10), slot).says for text in ("    return x + 1", "    return 7")]
    assert verdicts == ["pass", "fail"]
    assert [is_canonical(job) for job in slot.jobs] == [True, False]


def test_a_lost_run_of_the_canonical_solution_says_nothing_of_later_samples() -> None:
    slot, checker = ScriptedSlot(in_turn(ends("lost"), passes, fails)), Checker(Level.BUBBLEWRAP, Limits())
    verdicts = [checker.check(Sample(task(), "    return 7", 10), slot) for _ in range(2)]
    assert [(verdict.says, verdict.level) for verdict in verdicts] == [
        ("error", "bubblewrap/separate"),
        ("fail", "bubblewrap/separate"),
    ]


def test_a_task_that_can_not_be_separated_gets_a_second_chance() -> None:
    slot = ScriptedSlot(script(fails, passes, canonical=fails))
    assert (check(slot).says, check(slot).level) == ("pass", "bubblewrap/in-process")
    failing = ScriptedSlot(script(fails, fails, canonical=fails))
    verdict = check(failing)
    assert (verdict.says, verdict.level, verdict.reason) == (
        "fail",
        "bubblewrap/in-process",
        "test_one: AssertionError: 1 != 2",
    )


def test_the_canonical_solution_runs_once_a_task() -> None:
    slot, checker = ScriptedSlot(script(fails, passes)), Checker(Level.BUBBLEWRAP, Limits())
    for _ in range(3):
        checker.check(Sample(task(), "    return 7", 10), slot)
    assert sum(map(is_canonical, slot.jobs)) == 1


def test_a_task_whose_own_solution_takes_long_gets_more_time() -> None:
    def slow(job: Job) -> Outcome:
        return passes(job) if job.limits.cpu > 30 else ends("cpu")

    slot = ScriptedSlot(script(slow, slow, canonical=slow))
    assert check(slot).says == "pass"
    assert slot.jobs[-1].limits == Limits(cpu=240, wall=960)
    assert check(ScriptedSlot(script(slow, slow, canonical=fails))).says == "timeout"


@pytest.mark.parametrize("end", ["cpu", "wall"])
def test_time_is_a_timeout(end: str) -> None:
    verdict = check(ScriptedSlot(script(lambda job: ends(end), passes)))
    assert verdict.says == "timeout"
    assert verdict.reason == {"cpu": "used more than 30 s of CPU time", "wall": "took more than 120 s"}[end]


def test_a_sandbox_that_is_lost_is_our_own_fault() -> None:
    verdict = check(ScriptedSlot(lambda job: ends("lost")))
    assert (verdict.says, verdict.level) == ("error", "bubblewrap/separate")
    assert "run it again" in verdict.reason


REPORTS: dict[str, Any] = {
    "no end": [{"test": "test_one", "outcome": "pass"}, {"test": "test_two", "outcome": "pass"}],
    "one left out": [{"test": "test_one", "outcome": "pass"}, {"end": True}],
    "one twice": [{"test": "test_one", "outcome": "pass"}] * 2 + [{"end": True}],
    "one too many": [
        *({"test": name, "outcome": "pass"} for name in ("test_one", "test_two", "test_two")),
        {"end": True},
    ],
    "unknown": [
        *({"test": name, "outcome": "pass"} for name in ("test_one", "test_two", "test_3")),
        {"end": True},
    ],
    "skipped": [{"test": "test_one", "outcome": "pass"}, {"test": "test_two", "outcome": "skip"}, {"end": True}],
    "end first": [{"end": True}, {"test": "test_one", "outcome": "pass"}, {"test": "test_two", "outcome": "pass"}],
    "end untrue": [{"test": "test_one", "outcome": "pass"}, {"test": "test_two", "outcome": "pass"}, {"end": "yes"}],
    "odd names": [{"test": ["test_one"], "outcome": "pass"}, {"test": None, "outcome": "pass"}, {"end": True}],
    "only an end": [{"end": True}],
    "nothing": [],
    "odd lines": [{}, {"": 1}, {"test": "test_one"}],
}


def test_only_a_whole_report_is_a_pass() -> None:
    whole = ({"test": "test_two", "outcome": "pass"}, {"test": "test_one", "outcome": "pass"}, {"end": True})
    assert check(ScriptedSlot(lambda job: Outcome("exited", whole, False, 0, 0)), test=PATCHING).says == "pass"
    garbled = Outcome("exited", whole, True, 0, 0)
    assert check(ScriptedSlot(lambda job: garbled), test=PATCHING).says == "fail"
    killed = Outcome("memory", whole, False, 0, 0)
    assert check(ScriptedSlot(lambda job: killed), test=PATCHING).reason == "used more than 4 GiB of memory"


@pytest.mark.parametrize("lines", REPORTS.values(), ids=REPORTS)
def test_any_other_report_is_none(lines: list[dict[str, Any]]) -> None:
    verdict = check(ScriptedSlot(lambda job: Outcome("exited", tuple(lines), False, 0.1, 0.1)), test=PATCHING)
    assert verdict.says == "fail"
    assert verdict.reason


def test_a_task_whose_library_is_missing_is_not_run() -> None:
    slot = ScriptedSlot(passes, lacks={"numpy", "pandas"})
    verdict = check(slot, code_prompt="import numpy as np\ndef f(x):", libs=("pandas",))
    assert (verdict.says, verdict.level, slot.jobs) == ("error", "none", [])
    assert verdict.reason == "the task needs numpy and pandas, not installed: yardstick shadow setup --full"


def lacks_torch(job: Job) -> Outcome:
    return fails(job, "ModuleNotFoundError: No module named 'torch'")


@pytest.mark.parametrize(
    "text",
    ["import torch\ndef f(x): ...", "import os, torch as t\n", "def f(x):\n    from torch.nn import Module\n"],
)
def test_a_solutions_missing_library_is_an_error(text: str) -> None:
    verdict = check(ScriptedSlot(script(lacks_torch, lacks_torch), lacks={"torch"}), text=text)
    assert verdict.says == "error"
    assert verdict.reason == "the solution needs torch, which is not installed: yardstick shadow setup --full"


def test_a_module_that_failed_to_load_is_named_by_the_report() -> None:
    def loads(job: Job) -> Outcome:
        line = {"load": "candidate", "reason": "ModuleNotFoundError", "missing": "torch.nn"}
        return Outcome("exited", (line,), False, 0.1, 0.1)

    slot = ScriptedSlot(script(loads, loads), lacks={"torch"})
    assert check(slot, text="import torch.nn\n").says == "error"


@pytest.mark.parametrize(
    ("text", "lacks"),
    [("    raise ModuleNotFoundError", {"torch"}), ("import torch", set()), ("import leftpad", {"leftpad"})],
    ids=["only said so", "it is installed", "not the benchmark's"],
)
def test_a_failure_can_not_be_made_an_error(text: str, lacks: set[str]) -> None:
    def says_so(job: Job) -> Outcome:
        return fails(job, "No module named 'torch' No module named 'leftpad'")

    assert check(ScriptedSlot(script(says_so, says_so), lacks=lacks), text=text).says == "fail"


@pytest.mark.parametrize("needs", ["import socket\n", "FOLDER = '/tmp/archive'\n"])
@pytest.mark.parametrize("level", list(Level))
def test_a_task_that_needs_what_a_level_has_not_is_an_error_there(level: Level, needs: str) -> None:
    tests = f"{needs}{PATCHING}"
    verdict = check(ScriptedSlot(script(fails, fails, canonical=fails)), level=level, test=tests)
    assert verdict.says == ("error" if level is Level.LANDLOCK else "fail")
    assert check(ScriptedSlot(script(fails, fails)), level=level, test=tests).says == "fail"
    plain = check(ScriptedSlot(script(fails, fails, canonical=fails)), level=level, test=PATCHING)
    assert plain.says == "fail"


def test_half_a_character_fails_without_a_run() -> None:
    slot = ScriptedSlot(passes)
    verdict = check(slot, text="    return '\ud83d'")
    assert (verdict.says, verdict.level, slot.jobs) == ("fail", "none", [])
    assert len(verdict.program) == 16


def test_an_endless_line_of_imports_is_looked_at_in_bounded_time() -> None:
    slot = ScriptedSlot(script(lacks_torch, lacks_torch), lacks={"torch"})
    assert check(slot, text="import " * 2_000_000).says == "fail"


def test_reasons_are_bounded() -> None:
    verdict = check(ScriptedSlot(lambda job: fails(job, "x" * 10_000)), test=PATCHING)
    assert len(verdict.reason) == 500


def test_programs_are_told_apart_by_their_digest() -> None:
    slot = ScriptedSlot(in_turn(*[passes] * 6))
    first, same, other = (check(slot, text=text).program for text in ("    return 1", "    return 1", "    return 2"))
    assert first == same != other
