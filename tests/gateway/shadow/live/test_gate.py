"""The gate's answer as metrics: the command's own, asked again when there may be another one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.shadow.gate import gate
from gateway.shadow.gate.draws import Outcome
from gateway.shadow.gate.policy import Policy
from gateway.shadow.live.gate import GateAnswers
from gateway.shadow.report.gate_answers import MOST_KINDS, exposition
from gateway.shadow.report.stored_pairs import Unclear
from gateway.shadow.store import Store, open_store
from gateway.telemetry import names
from tests.fakes.client import until
from tests.gateway.emitted import assert_as_registered, emitted, value
from tests.gateway.shadow.gate.worlds import POLICY, TWO_BUCKETS
from tests.gateway.shadow.report.planted import Planting, world

GATE = (names.SHADOW_GATE, names.SHADOW_GATE_PAIRS, names.SHADOW_GATE_PAIRS_NEEDED)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_it_is_the_command_s_answer(store: Store, url: str, policy: Path) -> None:
    world(store)
    said = json.loads(CliRunner().invoke(gate, ("--policy", str(policy), "--store", url, "--json")).stdout)
    found = emitted(exposition(store.evidence, TWO_BUCKETS))
    assert_as_registered(found, GATE)
    assert value(found, "yardstick_shadow_gate", suite="five", form="complete") == said["exit_code"]
    for end, bucket in zip(("2048", "8192"), said["buckets"], strict=True):
        assert value(found, "yardstick_shadow_gate_pairs", bucket=end) == bucket["pairs"] == 40
        needed = inf if bucket["needed"] is None else bucket["needed"]
        assert value(found, "yardstick_shadow_gate_pairs_needed", bucket=end) == needed


def test_an_empty_store_is_undecided(store: Store) -> None:
    found = emitted(exposition(store.evidence, TWO_BUCKETS))
    assert_as_registered(found, GATE)
    assert value(found, "yardstick_shadow_gate", suite="", form="", evidence="canary") == 2


def test_suites_are_answered_for_one_by_one_and_bounded(store: Store) -> None:
    planting = Planting(store)
    for number in range(MOST_KINDS + 3):
        planting.pair(Outcome.PASS, Outcome.PASS, suite=f"suite-{number:02}:1")
    planting.done()
    found = emitted(exposition(store.evidence, TWO_BUCKETS))
    assert len(found["yardstick_shadow_gate"].samples) == MOST_KINDS
    assert value(found, "yardstick_shadow_gate_pairs", suite="suite-03", bucket="2048") == 1


def test_sides_the_other_way_round_are_said(store: Store) -> None:
    world(store)
    first, second = TWO_BUCKETS.first, TWO_BUCKETS.second
    swapped = Policy.model_validate(TWO_BUCKETS.model_dump() | {"first": second, "second": first})
    with pytest.raises(Unclear, match="swap the policy's sides"):
        exposition(store.evidence, swapped)


async def test_it_is_asked_again_after_new_verdicts_only(store: Store, url: str, policy: Path) -> None:
    world(store)
    told: list[str] = []
    answers = GateAnswers(store.evidence, url, str(policy), told.append)
    before = answers._state()
    Planting(store, number=1000).pair(Outcome.PASS, Outcome.FAIL)  # whose verdicts are not there yet
    assert answers._state() == before
    async with asyncio.TaskGroup() as group:
        running = group.create_task(answers.run(lambda seconds: 0.01))
        await until(lambda: answers.text, seconds=150)
        first = answers.text
        planting = Planting(store, number=2000)
        for _ in range(5):
            planting.control(True, Outcome.PASS)
        planting.done()
        assert answers._state() != before
        await until(lambda: answers.text is not first, seconds=150)
        running.cancel()
    assert value(emitted(first), "yardstick_shadow_gate_pairs", bucket="2048") == 40
    assert told == []


async def test_a_policy_that_becomes_wrong_is_told_once(store: Store, url: str, policy: Path) -> None:
    told: list[str] = []
    answers = GateAnswers(store.evidence, url, str(policy), told.append)
    assert await answers.ask()
    good = answers.text
    await asyncio.to_thread(policy.write_text, POLICY.replace("delta: 0.05", "delta: 5"))
    assert not await answers.ask()
    assert not await answers.ask()
    assert answers.text == good
    (line,) = told
    assert "shadow.gate is not answered" in line
    assert "delta" in line
