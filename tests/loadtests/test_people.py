"""What the people do, and that locust's statistics, exit code and report tell of it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import urllib.request
from pathlib import Path

import pytest

from loadtests.run_load import LOCUSTFILE, LONG, SHORT
from tests.fakes.started import free_port

from .conftest import Locust, finished, rows

pytestmark = pytest.mark.load

QUICK = ("--users", "6", "--spawn-rate", "6", "--pace", "0.02", "--agent-tokens", "9000-12000")
KINDS = {"Typist": "ide", "Chatter": "chat", "Agent": "agent", "Solver": "task", "Arrivals": "arrivals"}
WEIGHTS = {
    "team": {"ide": 10, "chat": 6, "agent": 2, "task": 2},
    "ide": {"ide": 1},
    "chat": {"chat": 1},
    "agents": {"agent": 3, "chat": 1},
    "benchmark": {"task": 1},
    "arrivals": {"arrivals": 1},
}
MEASURES = ("E2E", "TTFT", "between chunks", "prompt tokens", "tokens/s")


def metrics(gateway: str) -> list[str]:
    with urllib.request.urlopen(f"{gateway}/metrics", timeout=10) as response:
        text: str = response.read().decode()
    return text.splitlines()


async def test_everybody_shows_in_the_statistics(gateway: str, locust: Locust) -> None:
    options = (
        "--users",
        "20",
        "--spawn-rate",
        "20",
        "--pace",
        "0.02",
        "--agent-tokens",
        "13000-15000",
        "--left",
        "0.6",
    )
    expected = f"ide={SHORT},chat={SHORT},task={SHORT},agent={LONG}"
    run = await locust(gateway, *options, "--expect", expected, answers=150)
    assert run.code == 0, run.output
    for kind in ("ide", "chat", "agent", "task"):
        for measure in MEASURES[:-1] if kind == "ide" else MEASURES:  # few chunks have no rate
            assert run.count(measure, kind) > 0, (measure, kind)
    assert run.count("", "Aggregated") == sum(row[0] for (kind, _), row in run.rows.items() if kind == "E2E")
    assert run.rows["prompt tokens", "agent"][2] > 8192
    assert 1_000 < run.rows["prompt tokens", "chat"][2] < 2_000  # of a first turn: nearly all is what everybody shares
    (spawned,) = re.findall(r"All users spawned: (\{.*?\})", run.output)
    assert of_kinds(json.loads(spawned)) == WEIGHTS["team"]
    assert run.count("E2E", "ide, left") > 0
    assert any('outcome="cancelled"' in line and not line.endswith(" 0.0") for line in metrics(gateway))


def of_kinds(counts: dict[str, int]) -> dict[str, int]:
    return {KINDS[name]: count for name, count in counts.items() if count}


# Without a run: what locust makes of so many users as the mix has weights.
_DISPATCHED = """
import argparse, json
from locust.dispatch import UsersDispatcher
from locust.env import Environment
from locust.runners import WorkerNode
from loadtests.people import mixes

found = {}
for mix, weights in mixes.MIXES.items():
    environment = Environment(parsed_options=argparse.Namespace(mix=mix, shape="steady"))
    mixes.choose(environment, None)
    users = UsersDispatcher([WorkerNode("one")], environment.user_classes)
    users.new_dispatch(sum(weights.values()), sum(weights.values()))
    *_, last = users
    found[mix] = last["one"]
print(json.dumps(found))
"""


async def test_locust_is_given_the_weights_of_the_mix(installed: Path) -> None:
    code, output = await finished(str(installed.parent / "python"), "-c", _DISPATCHED)
    assert code == 0, output
    found = json.loads(output.splitlines()[-1])
    assert {mix: of_kinds(counts) for mix, counts in found.items()} == WEIGHTS


async def test_conversations_grow_by_their_answers(gateway: str, locust: Locust, tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    options = ("--mix", "chat", "--users", "1", "--pace", "0", "--records", str(records))
    run = await locust(gateway, *options, answers=3)
    assert run.code == 0, run.output
    one, two, three = [json.loads(line) for line in records.read_text().splitlines()][:3]
    assert two["prompt_tokens"] >= one["prompt_tokens"] + one["tokens"]
    assert three["prompt_tokens"] >= two["prompt_tokens"] + two["tokens"]


async def test_the_wrong_model_is_a_failure(gateway: str, locust: Locust) -> None:
    run = await locust(gateway, "--mix", "benchmark", *QUICK, "--expect", LONG, answers=4)
    assert run.code == 1
    assert any(f"{SHORT} answered, not {LONG}" in failure for failure in run.failures)


@pytest.mark.parametrize(("shape", "fewest"), [("steps", 2), ("spike", 1)])
async def test_shapes(gateway: str, locust: Locust, shape: str, fewest: int) -> None:
    run = await locust(gateway, "--mix", "ide", "--users", "5", "--pace", "0.1", "--shape", shape, seconds="6s")
    assert run.code == 0, run.output
    users = [int(row["User Count"]) for row in run.history if row["Name"] == "Aggregated"]
    assert max(users) == 5
    assert min(count for count in users if count) == fewest


async def test_tasks_of_a_file(gateway: str, locust: Locust, tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"task_id": "X/0", "instruct_prompt": "Write f."}\n{"task_id": "X/1"}\n')
    run = await locust(gateway, "--mix", "benchmark", *QUICK, "--tasks", str(file))
    assert run.code == 1
    assert "line 2 has no instruct_prompt" in run.output


async def test_workers_report_to_their_master(gateway: str, installed: Path) -> None:
    port = str(free_port())
    common = (str(installed), "-f", str(LOCUSTFILE), "--host", gateway)
    (code, output), (worker, said) = await asyncio.gather(
        finished(
            *common, "--master", "--master-bind-port", port, "--master-bind-host", "127.0.0.1", "--expect-workers", "1",
            "--headless", "--only-summary", "--run-time", "8s", "--mix", "chat", "--users", "3", "--pace", "0.02",
        ),
        finished(*common, "--worker", "--master-host", "127.0.0.1", "--master-port", port),
    )  # fmt: skip
    assert (code, worker) == (0, 0), output + said
    assert {(measure, "chat") for measure in MEASURES} <= rows(output).keys()


async def test_the_same_seed_brings_the_same_arrivals(gateway: str, locust: Locust, tmp_path: Path) -> None:
    found = []
    for number in range(2):
        records = tmp_path / f"{number}.jsonl"
        options = ("--mix", "arrivals", "--users", "1", "--arrivals-seconds", "2", "--long-rate", "1", "--seed", "7")
        run = await locust(gateway, *options, "--agent-tokens", "9000-12000", "--records", str(records))
        assert run.code == 0, run.output
        lines = [json.loads(line) for line in records.read_text().splitlines()]
        found.append(sorted((each["kind"], each["prompt_tokens"]) for each in lines))
    assert found[0] == found[1]
    assert {kind for kind, _ in found[0]} == {"short", "long"}


async def test_a_run_leaves_a_report(gateway: str, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "loadtests.run_load", "--target", gateway, "--folder", str(tmp_path))
    options = ("--users", "3", "--time", "50s", "--mix", "chat", "--pace", "0.02")
    code, output = await finished(*command, *options, "--", "--answers", "120")  # for some seconds: a chart needs them
    assert code == 0, output
    report = tmp_path / "report.html"
    assert f"report: {report}" in output
    text = report.read_text()
    assert '<section id="people"' in text
    assert "chat p99" in text
