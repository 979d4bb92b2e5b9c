"""What needs neither locust nor a server."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.comparison import doubts, percentile, summary
from loadtests.people import curves, prompts, sse
from loadtests.people.checks import Answer, Expected, WrongContent, failure
from loadtests.shadow_latency import Turn, outermost, ratio

ROOT = Path(__file__).parents[2]


def imports(file: Path) -> Iterator[str]:
    """Names of modules, and of what is taken from them, which may be modules too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            assert not node.level, f"{file}: relative imports are not followed here"
            yield from (module, *(f"{module}.{each.name}" for each in node.names))


def reached(*first: str) -> set[Path]:
    """Files of these modules, and of all in this repository that they import, and so on."""
    found: set[Path] = set()
    waiting = list(first)
    while waiting:
        path = ROOT / waiting.pop().replace(".", "/")
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.exists() and file not in found:
                found.add(file)
                waiting += imports(file)
    return found


def folders(files: set[Path]) -> set[str]:
    return {file.relative_to(ROOT).parts[0] for file in files}


def test_the_people_import_nothing_of_ours() -> None:
    files = reached("loadtests.locustfile", "loadtests.run_load", "loadtests.charts")
    assert set((ROOT / "loadtests/people").glob("*.py")) <= files
    assert folders(files) == {"loadtests"}
    assert "gateway" in folders(reached("loadtests.decisions"))  # it would be seen


def test_what_everybody_is_told_first_repeats_nothing() -> None:
    lines = [line.partition(". ")[2] for line in prompts.SYSTEM.splitlines() if line[:1].isdigit()]
    assert len(lines) == len(set(lines)) > 50
    assert 4_000 < len(prompts.SYSTEM) < 7_000


class Response:
    """Bytes as they came, in pieces; lines of them as geventhttpclient gives them."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def readline(self, sep: bytes) -> bytes:
        line, found, rest = self._data.partition(sep)
        self._data = rest
        return line + found if found else b""


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_events(end: bytes) -> None:
    text = b": keep-alive||event: x|data: one||data:two|data: lines|||data: cut off"
    assert list(sse.events(Response(text.replace(b"|", end)))) == [b"one", b"two\nlines"]


def whole() -> Answer:
    usage = {"prompt_tokens": 7, "completion_tokens": 9}
    return Answer("chat", 200, "m", ["a"] * 9, "stop", usage, done=True, first=0.5, gaps=[0.25] * 8, total=3.0)


def test_a_whole_answer_is_right() -> None:
    assert failure(whole(), "") is None
    assert failure(whole(), "m") is None
    assert isinstance(failure(whole(), "other"), WrongContent)
    assert whole().tokens_per_second == 4.0


def test_what_was_left_need_not_be_whole() -> None:
    assert failure(Answer("ide", left=True), "m") is None
    assert isinstance(failure(Answer("ide", left=True, error="broke"), "m"), WrongContent)


def test_expectations() -> None:
    assert Expected.of("m").model("chat") == "m"
    assert Expected.of("").model("chat") == ""
    by_kind = Expected.of("ide=a,agent=b")
    assert (by_kind.model("ide"), by_kind.model("agent"), by_kind.model("chat")) == ("a", "b", "")
    with pytest.raises(ValueError, match="is not MODEL"):
        Expected.of("ide=a,b")


def test_curves() -> None:
    assert [curves.steps(share, 10) for share in (0, 0.24, 0.25, 0.5, 0.99)] == [3, 3, 5, 8, 10]
    assert [curves.spike(share, 10) for share in (0, 0.39, 0.4, 0.59, 0.6)] == [2, 2, 10, 10, 2]


@pytest.mark.parametrize("seed", range(20))
def test_prompts(seed: int) -> None:
    gap = prompts.gap(random.Random(seed))
    assert gap.prefix.strip()
    assert gap.suffix.startswith("\n")
    assert len(prompts.files(random.Random(seed), 300_000)) == 300_000
    assert prompts.gap(random.Random(seed)) == gap


def test_own_tasks_are_in_the_benchmarks_schema() -> None:
    assert len(prompts.tasks("")) >= 4


def test_a_task_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="No such file"):
        prompts.tasks(str(tmp_path / "none.jsonl"))


def test_a_summary_is_in_simulated_seconds() -> None:
    records = [
        {"kind": kind, "ttft": 0.1 * n, "gaps": [0.01], "prompt_tokens": 5, "late": 0.0}
        for kind in ("short", "long")
        for n in range(1, 101)
    ]
    found = summary(records, 0.5)
    assert found["short"]["requests"] == 100
    assert found["short"]["ttft_p50"] == pytest.approx(10.2)
    assert found["long"]["ttft_p99"] == pytest.approx(20.0)
    assert percentile([3, 1, 2], 0.5) == 2


def test_a_busy_machine_is_doubted() -> None:
    run = {"seed": 1, "machine_free": 0.5, "late_p99_real_seconds": 0.001}
    fine = {setup: {"seeds": [run]} for setup in ("split", "mixed")}
    assert doubts({"setups": fine}) == []
    busy = {**fine, "mixed": {"seeds": [{**run, "machine_free": 0.05, "late_p99_real_seconds": 0.1}]}}
    assert len(doubts({"setups": busy})) == 2


def test_the_ratio_of_turns_is_that_of_each_round_s_own_tails() -> None:
    """A round in which all was slow, for both, weighs no more than another; one with a stall in either turn is none."""
    values = [0.001 * number for number in range(1, 201)]
    rounds = [
        (Turn(first=[slow * value for value in values]), Turn(first=[slow * more * value for value in values]))
        for slow, more in ((1, 1.1), (50, 1.1), (1, 1.1), (3, 1.1), (1, 1.1), (2, 9.0), (1, 1.1), (1, 0.1), (1, 1.1))
    ]
    assert [round(found, 9) for found in ratio(rounds, "first")] == [1.1, 1.1, 1.1]
    with pytest.raises(ValueError, match="5 values"):
        ratio(rounds[:5], "first")


def test_the_median_s_interval_has_the_ranks_that_tables_give() -> None:
    """Of the sign test, two-sided, 5 %: the lower rank is one more than its critical value."""
    assert {n: outermost(n) for n in (6, 8, 9, 20, 40)} == {6: 0, 8: 0, 9: 1, 20: 5, 40: 13}


@given(st.lists(st.floats(0.001, 1000.0), min_size=6, max_size=60))
def test_the_interval_holds_the_median(ratios: list[float]) -> None:
    found, low, high = ratio([(Turn(first=[1.0]), Turn(first=[each])) for each in ratios], "first")
    assert low <= found <= high
