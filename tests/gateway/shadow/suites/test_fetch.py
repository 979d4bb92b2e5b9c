"""`yardstick shadow fetch` against a hub of ours: all tasks or no file, and errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli.shadow.fetch import fetch as command
from gateway.shadow.suites.fetch import HARD, FetchError, fetch
from gateway.shadow.suites.load import load
from tests.fakes.hub import Hub, serving_hub
from tests.gateway.shadow.suites.test_load import row


def tasks(count: int) -> list[dict[str, Any]]:
    """As the hub has them, with a column of the Hard split that the benchmark's schema does not know."""
    return [row(task_id=f"BigCodeBench/{number}") | {"q_idx": number} for number in range(count)]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving_hub(tasks(HARD.tasks)) as server:
        yield server


def fetched(hub: Hub, target: Path) -> tuple[list[float], list[int]]:
    waits, told = list[float](), list[int]()
    fetch(HARD, target, viewer=hub.url, wait=waits.append, tell=told.append)
    return waits, told


def refused(hub: Hub, target: Path) -> str:
    with pytest.raises(FetchError) as caught:
        fetched(hub, target)
    assert list(target.parent.iterdir()) == []
    return str(caught.value)


def test_the_hard_split_comes_in_pages_and_is_a_suite(hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "hard.jsonl"
    assert fetched(hub, target) == ([], [100, 148])
    assert hub.asked == [
        {
            "dataset": "bigcode/bigcodebench-hard",
            "config": "default",
            "split": "v0.1.4",
            "offset": offset,
            "length": "100",
        }
        for offset in ("0", "100")
    ]
    suite = load(str(target))
    assert suite.name == "BigCodeBench (148 of its 1,140 tasks)"
    assert "q_idx" not in json.loads(target.read_text().splitlines()[0])
    assert [path.name for path in tmp_path.iterdir()] == ["hard.jsonl"]


def test_a_busy_hub_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    hub.refusals = [503, 429]
    waits, _ = fetched(hub, tmp_path / "hard.jsonl")
    assert waits == [2, 4]


def test_a_hub_that_refuses(hub: Hub, tmp_path: Path) -> None:
    hub.refusals = [404]
    told = refused(hub, tmp_path / "hard.jsonl")
    assert told.startswith(f"{hub.url} answered 404 for bigcode/bigcodebench-hard v0.1.4: The server is busier")
    assert "https://huggingface.co/datasets/bigcode/bigcodebench-hard as JSONL" in told


def test_no_hub_at_all(hub: Hub, tmp_path: Path) -> None:
    url = hub.url
    hub.server_close()
    waits = list[float]()
    with pytest.raises(FetchError, match=rf"{url} can't be reached: .*refused.*name that file with --suite"):
        fetch(HARD, tmp_path / "hard.jsonl", viewer=url, wait=waits.append, tell=waits.append)
    assert waits == [2, 4, 8]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"num_rows_total": 1139}, "has 1139 rows on the hub, where 148 were published"),
        ({"rows": []}, "left out rows of 0 to 99"),
        ({"rows": None}, "something else than the rows of a dataset"),
        ({"rows": [1]}, "something else than the rows of a dataset"),
        ({"partial": True}, "something else than the rows of a dataset"),
    ],
)
def test_a_page_that_is_not_whole(hub: Hub, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    hub.changes = changes
    assert told in refused(hub, tmp_path / "hard.jsonl")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"[" * 100_000])
def test_an_answer_that_is_none(hub: Hub, tmp_path: Path, body: bytes) -> None:
    hub.body = body
    assert "something else than the rows of a dataset" in refused(hub, tmp_path / "hard.jsonl")


def test_a_cut_off_task(hub: Hub, tmp_path: Path) -> None:
    rows = [{"row_idx": n, "row": each, "truncated_cells": ["test"] * (n == 3)} for n, each in enumerate(tasks(100))]
    hub.changes = {"rows": rows}
    assert "cut off fields of row 3" in refused(hub, tmp_path / "hard.jsonl")


def test_a_row_that_is_no_task(hub: Hub, tmp_path: Path) -> None:
    del hub.tasks[120]["test"]
    assert "row 120 of bigcode/bigcodebench-hard v0.1.4 is no task: has no field test" in refused(hub, tmp_path / "h")


def test_ids_that_are_not_the_benchmarks(hub: Hub, tmp_path: Path) -> None:
    hub.tasks[5]["task_id"] = "other/5"
    assert "row 5 of bigcode/bigcodebench-hard v0.1.4 is 'other/5'" in refused(hub, tmp_path / "h")


def test_a_task_that_comes_twice(hub: Hub, tmp_path: Path) -> None:
    hub.tasks[5]["task_id"] = "BigCodeBench/6"
    assert "came with 147 different tasks, not 148" in refused(hub, tmp_path / "h")


def test_a_folder_that_can_not_be_written(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="can't be written: No such file"):
        fetched(hub, tmp_path / "none" / "hard.jsonl")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_the_command_says_what_came_and_keeps_what_is_there(hub: Hub, tmp_path: Path) -> None:
    target = str(tmp_path / "hard.jsonl")
    done = run("--hard", "--output", target, "--hub", hub.url)
    assert (done.exit_code, done.stdout) == (0, f"{target}: 148 tasks of bigcode/bigcodebench-hard v0.1.4\n")
    again = run("--hard", "--output", target, "--hub", hub.url)
    assert again.exit_code == 2
    assert "--force replaces it" in again.stderr
    assert run("--hard", "--output", target, "--hub", hub.url, "--force").exit_code == 0


def test_the_command_ends_with_1_and_one_error(hub: Hub, tmp_path: Path) -> None:
    done = run("--output", str(tmp_path / "full.jsonl"), "--hub", hub.url)
    assert done.exit_code == 1
    assert "has 148 rows on the hub, where 1,140 were published" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_none(tmp_path: Path) -> None:
    assert "is no http or https address" in run("--output", str(tmp_path / "x"), "--hub", "file:///etc").stderr
