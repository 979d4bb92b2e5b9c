"""Shadow-eval on several machines, as processes: a gateway that only stores, PostgreSQL, and workers that score."""

from __future__ import annotations

import json
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from gateway.shadow.gate.draws import Kind
from gateway.shadow.store import Store, open_store
from tests.fakes.gateway import LONG, SHORT
from tests.gateway.shadow.planted.run import drawn_and_scored, stored_draws
from tests.gateway.shadow.planted.system import FIVE, Planted, Process, System, canaries, system
from tests.gateway.shadow.store.conftest import postgres as postgres
from tests.gateway.shadow.store.postgres import Server
from tests.gateway.shadow.walls import need_any

EASY = {task for number, task in enumerate(sorted(FIVE.tasks)) if number % 2}
"""What the short model solves; the long one solves everything."""
TASK = FIVE.tasks[min(FIVE.tasks)]
PAIRS = 16


@pytest.mark.timeout(300)
def test_workers_score_in_postgresql_what_a_gateway_stores(postgres: Server, tmp_path: Path) -> None:
    need_any()
    planted = {
        SHORT: Planted(0, by_task={task: float(task in EASY) for task in FIVE.tasks}),
        LONG: Planted(0, by_task=dict.fromkeys(FIVE.tasks, 1.0)),
    }
    shadow = {"keyless": 1.0, "mirror": {"enabled": True}, **canaries(seed=3, forms=["instruct"])}
    url = postgres.empty_database()
    with system(tmp_path, planted, shadow, store=url, workers=2) as running, open_store(url) as store:
        ask_until_stored(running, store)
        running.wait(lambda: all(scored_by(worker) for worker in running.workers), 120)
        drawn_and_scored(running, PAIRS)
        draws = [each for each in stored_draws(store) if each.first is not None and each.second is not None]
        assert len(draws) >= PAIRS - 4  # what was under way at the gateway's end is cancelled
        for draw in draws:
            assert (draw.first, draw.second) == (draw.task_id in EASY, True), draw
        lines = [line for worker in running.workers for line in scored_by(worker)]
        assert set(Counter((line["run"], line["number"]) for line in lines).values()) == {1}
        assert_told(running, [draw.task_id in EASY for draw in draws])


def ask_until_stored(running: System, store: Store) -> None:
    """The first requests may come before anybody listens: those are lost, and counted."""

    def asked_and_stored() -> bool:
        connection = HTTPConnection("127.0.0.1", running.port, timeout=30)
        body = {"model": SHORT, "messages": [{"role": "user", "content": TASK.instruct_prompt}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.read()  # a client that leaves without it has cancelled
        assert answer.status == 200
        connection.close()
        return any(drawn.sample.kind is Kind.LIVE_EXACT for drawn in store.evidence.samples())

    running.wait(asked_and_stored, 60)


def scored_by(worker: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in worker.text.splitlines() if line.startswith("{") and line.endswith("}")]


def assert_told(running: System, first_passed: list[bool]) -> None:
    """By the report: both families' rates of canaries, and the live request's pair."""
    done = running.command("shadow", "report", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    rows = {(row["kind"], row["served"]["model"]): row for row in told["runs"] if row["by"] == "all"}
    (pairs,) = (row for row in told["pairs"] if row["by"] == "all" and row["kind"] == "canary")
    assert (pairs["both"], pairs["second_only"]) == (sum(first_passed), len(first_passed) - sum(first_passed))
    assert (pairs["pairs"], pairs["first_only"], pairs["neither"]) == (len(first_passed), 0, 0)
    assert rows["canary", SHORT]["outcomes"]["pass"] >= sum(first_passed)
    assert rows["canary", LONG]["outcomes"]["fail"] == 0
    assert rows["live-exact", SHORT]["completions"] > 0
    assert rows["mirror", LONG]["completions"] > 0
    assert told["samples"]["runs_without_outcome_yet"] == 0
    assert told["checks"]["canonical"]["failed"] == told["checks"]["known_bad"]["passed"] == 0
