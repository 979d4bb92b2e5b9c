"""The demo's scoreboard: what is in the store, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from gateway.demo.engine import LONG, SHORT
from gateway.demo.scoreboard import STORE, Scoreboard
from gateway.shadow.gate.draws import Kind, Outcome
from gateway.shadow.store import Store, open_store
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.report.planted import Planting, world


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def filled(folder: Path) -> Store:
    return open_store(f"sqlite:///{folder / STORE}")


def shown(board: Scoreboard) -> list[list[str]]:
    """The table's cells, the headings first."""
    console = Console(width=200)
    with console.capture() as captured:
        console.print(board.table())
    cells = [line.replace("┃", "│").split("│")[1:-1] for line in captured.get().splitlines()]
    return [[cell.strip() for cell in row] for row in cells if row]


def test_without_a_store_it_is_empty(folder: Path) -> None:
    board = Scoreboard.read(folder)
    assert board == Scoreboard()
    assert shown(board) == [["category", SHORT, LONG, "pairs"], ["all", "-", "-", "0"]]


def test_what_is_no_store_yet_is_an_empty_one(folder: Path) -> None:
    (folder / STORE).mkdir()
    assert Scoreboard.read(folder) == Scoreboard()


def test_its_shares_are_those_of_the_pairs(folder: Path) -> None:
    with filled(folder) as store:
        happened = world(store)
    assert {FIRST.model, SECOND.model} == {SHORT, LONG}
    pairs, passed = Counter[str](), Counter[tuple[str, str]]()
    for task_id, _, first, second in happened:
        category = task_id.split("/")[1]
        pairs[category] += 1
        passed[category, SHORT] += first is Outcome.PASS
        passed[category, LONG] += second is Outcome.PASS
    board = Scoreboard.read(folder)
    assert (board.pairs, board.passed, board.open) == (pairs, passed, 0)
    title, *rows = shown(board)
    assert title == ["category", SHORT, LONG, "pairs"]
    expected = [
        [category, *(f"{passed[category, model] / pairs[category]:.0%}" for model in (SHORT, LONG)), "16"]
        for category in sorted(pairs)
    ]
    total = [f"{sum(n for (_, whose), n in passed.items() if whose == model) / 80:.0%}" for model in (SHORT, LONG)]
    assert rows == [*expected, ["all", *total, "80"]]


def test_only_canary_pairs_with_both_verdicts_count(folder: Path) -> None:
    with filled(folder) as store:
        planting = Planting(store)
        planting.pair(Outcome.PASS, Outcome.FAIL, task_id="five/debugging/1")
        planting.pair(Outcome.PASS, Outcome.ERROR, task_id="five/debugging/2")
        planting.pair(Outcome.PASS, Outcome.PASS, task_id="five/api_use/1", kind=Kind.LIVE_EXACT)
        planting.control(True, Outcome.PASS)
        planting.done()
        planting.pair(Outcome.FAIL, Outcome.FAIL, task_id="five/api_use/2")  # scored later
        board = Scoreboard.read(folder)
        assert board.pairs == {"debugging": 1}
        assert board.open == 2
        assert board.table().title == "Shadow-eval: 1 pairs scored, 2 open"
        assert shown(board)[1:] == [["debugging", "100%", "0%", "1"], ["all", "100%", "0%", "1"]]
        planting.done()
    assert Scoreboard.read(folder).pairs == {"debugging": 1, "api_use": 1}
