"""Of the comparison itself, without either harness: samples, what is kept, and what counts as a difference."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.shadow.suites.load import load
from gateway.shadow.suites.task import Task
from tests.gateway.shadow.agreement import report
from tests.gateway.shadow.agreement.compare import Comparison, Judge, compare, read_known
from tests.gateway.shadow.agreement.harnesses import DECIDING, GATEWAY, Harness
from tests.gateway.shadow.agreement.samples import KINDS, Judged, domain, judged, stratified
from tests.gateway.shadow.agreement.verdicts import Kept, Said, digest_of_code, official_key, our_key

TASKS = list(load("five").tasks.values())


def _task(number: int, *libs: str) -> Task:
    return Task(f"Tasks/{number}", "def f():\n", "", "    return 1\n", "def f():\n", "", "f", libs=libs)


def test_the_same_task_gives_the_same_samples_whatever_is_beside_it() -> None:
    alone = {sample.id: sample for task in TASKS[:3] for sample in judged([task])}
    beside = {sample.id: sample for sample in judged(TASKS)}
    assert len(beside) == len(TASKS) * len(KINDS)
    assert all(beside[name] == sample for name, sample in alone.items())
    for key in (official_key, our_key):
        assert len({key(sample) for sample in beside.values()}) == len(beside)


def test_our_verdict_is_another_one_where_anything_of_the_task_is() -> None:
    (sample,) = judged(TASKS[:1], ["canonical"])
    for changed in ({"canonical_solution": "    pass\n"}, {"libs": ("numpy",)}, {"test": ""}, {"code_prompt": ""}):
        assert our_key(replace(sample, task=replace(sample.task, **changed))) != our_key(sample)
    assert our_key(replace(sample, solution="")) != our_key(sample)


class Counting(Harness):
    """Gives as seconds how many samples it has judged; is interrupted at the one after ``most``."""

    name = "counting"

    def __init__(self, file: Path, most: int) -> None:
        super().__init__(Kept(file, our_key), workers=1)
        self.asked = list[str]()
        self._most = most

    def _run(self, samples: Sequence[Judged], workers: int) -> Iterator[tuple[Judged, Said]]:
        for sample in samples:
            if len(self.asked) == self._most:
                raise KeyboardInterrupt
            self.asked.append(sample.id)
            yield sample, Said("pass", float(len(self.asked)), "why", "level")


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    file, samples = tmp_path / "kept.jsonl", judged(TASKS[:2])
    with pytest.raises(KeyboardInterrupt):
        Counting(file, most=4).judge(samples)
    with file.open("a") as out:
        out.write('{"key": "torn')
    further = Counting(file, most=2)
    said = further.judge(samples)
    assert further.asked == [sample.id for sample in samples[4:]]
    assert [each.seconds for each in said.values()] == [1, 2, 3, 4, 1, 2]
    assert list(said) == [sample.id for sample in samples]
    assert Counting(file, most=0).judge(samples) == said


def test_anew_neither_uses_nor_changes_what_is_kept(tmp_path: Path) -> None:
    file, samples = tmp_path / "kept.jsonl", judged(TASKS[:2])
    Counting(file, most=6).judge(samples)
    kept, again = file.read_text(), Counting(file, most=6)
    again.judge(samples, anew=True)
    assert again.asked == [sample.id for sample in samples]
    assert file.read_text() == kept


def test_any_change_of_code_that_decides_verdicts_is_seen(tmp_path: Path) -> None:
    names = ("score/a.py", "score/deep/b.py", "extract.py")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("pass\n")
    parts, seen = ("score", "extract.py"), set[str]()
    for name in names:
        seen.add(digest_of_code(tmp_path, parts))
        (tmp_path / name).write_text("pass  # changed\n")
    (tmp_path / "score/a.py").rename(tmp_path / "score/c.py")
    before = digest_of_code(tmp_path, parts)
    assert len(seen | {before}) == len(names) + 1
    (tmp_path / "other.py").write_text("pass\n")
    (tmp_path / "score/README.md").write_text("text\n")
    assert digest_of_code(tmp_path, parts) == before
    with pytest.raises(FileNotFoundError, match="is gone"):
        digest_of_code(tmp_path, (*parts, "gone"))
    assert digest_of_code(GATEWAY, DECIDING)


def test_wrong_solutions_parse_and_are_not_the_right_ones() -> None:
    for sample in judged(TASKS, ["wrong"]):
        right = ast.dump(ast.parse(sample.task.complete_prompt + sample.task.canonical_solution))
        assert ast.dump(ast.parse(sample.solution)) != right


def test_a_stratified_sample_has_every_domain_in_proportion() -> None:
    tasks = [_task(n, "numpy", "pandas", "os") for n in range(80)] + [_task(80 + n, "os") for n in range(18)]
    tasks += [_task(98, "time"), _task(99)]
    assert [domain(task) for task in tasks[79:81]] + [domain(task) for task in tasks[98:]] == [
        *("Computation", "System", "Time", "General")
    ]
    drawn = stratified(tasks, 20)
    assert len(drawn) == 20
    assert drawn == stratified(tasks, 20)
    assert sum(domain(task) == "Computation" for task in drawn) in (14, 15, 16)
    assert tasks[98] in drawn
    assert tasks[99] in drawn
    assert stratified(tasks, 1000) == tasks


def _always(verdicts: str) -> Judge:
    return lambda samples: _said(samples, verdicts)


def _said(samples: Sequence[Judged], verdict: str) -> Mapping[str, Said]:
    return {sample.id: Said(verdict, 1.0) for sample in samples}


def _compared(first: tuple[str, str], again: tuple[str, str], known: Mapping[str, str] = {}) -> Comparison:
    """One of 300 samples gets the first verdicts (official, ours), all others pass under both."""
    samples = judged([_task(n) for n in range(300)], ["canonical"])
    sample = samples[7]
    official, ours = (dict(_said(samples, "pass")) for _ in range(2))
    official[sample.id], ours[sample.id] = (Said(verdict, 1.0) for verdict in first)
    return compare(samples, official, ours, (_always(again[0]), _always(again[1])), repeats=2, known=known)


@pytest.mark.parametrize("ours", ["fail", "timeout", "error"])
def test_a_lasting_difference_needs_an_explanation(ours: str) -> None:
    found = _compared(("pass", ours), ("pass", ours))
    assert [difference.id for difference in found.unexplained] == ["Tasks/7 canonical"]
    assert not found.agrees
    assert _compared(("pass", ours), ("pass", ours), {"Tasks/7": "why"}).agrees
    assert _compared(("pass", ours), ("pass", ours), {"Tasks/7 canonical": "why"}).agrees
    assert not _compared(("pass", ours), ("pass", ours), {"Tasks/7 empty": "why"}).agrees


def test_a_flake_is_one_by_the_official_verdicts_alone() -> None:
    flake = _compared(("pass", "fail"), ("fail", "fail"))
    assert ([each.id for each in flake.flakes], flake.lasting, flake.agrees) == (["Tasks/7 canonical"], (), True)
    ours_differs_from_itself = _compared(("pass", "fail"), ("pass", "timeout"))
    assert [each.id for each in ours_differs_from_itself.unexplained] == ["Tasks/7 canonical"]


def test_a_difference_that_was_gone_when_run_alone() -> None:
    found = _compared(("pass", "timeout"), ("pass", "pass"))
    assert [each.id for each in found.passing] == ["Tasks/7 canonical"]
    assert found.agrees


def test_too_many_differences_fail_though_they_are_explained() -> None:
    samples = judged([_task(n) for n in range(400)], ["canonical"])
    official = _said(samples, "pass")
    known = {f"Tasks/{n}": "why" for n in range(400)}

    def with_failing(count: int) -> Comparison:
        ours = {**official, **_said(samples[:count], "fail")}
        return compare(samples, official, ours, (_always("pass"), _always("fail")), repeats=1, known=known)

    assert with_failing(2).agrees
    assert with_failing(2).share == 0.005
    assert not with_failing(3).agrees


def test_the_report_names_each_difference_and_its_cause() -> None:
    samples = judged([_task(n) for n in range(2)], ["canonical"])
    official, ours = _said(samples, "pass"), {**_said(samples, "pass"), samples[0].id: Said("fail", 1.0, "", "level")}
    again = (_always("pass"), lambda some: {each.id: ours[each.id] for each in some})
    found = compare(samples, official, ours, again, repeats=1, known={"Tasks/0": "ours is strict"})
    result = report.document(report.Conditions("tasks.jsonl", "full-0", "3.11.7", 2, 2), found, samples, official, ours)
    lines = list(report.markdown(result))
    assert "| Tasks/0 canonical | pass, pass | fail, fail | level | ours is strict |" in lines
    assert "| canonical | pass | 1 | 1 | 0 | 0 |" in lines
    assert result["verdicts"]["canonical"] == {"pass fail": 1, "pass pass": 1}


def test_known_differences_say_why() -> None:
    assert all(len(cause) > 20 for cause in read_known().values())
