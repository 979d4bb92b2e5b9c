"""`yardstick shadow threshold`: planted worlds through a real store, and that nothing else ends with their codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result

from gateway.cli.shadow.threshold import threshold
from gateway.shadow.canary.mix import LiveMix
from gateway.shadow.gate.draws import Kind, Outcome
from gateway.shadow.live.mix_file import mix_file, write_mix
from gateway.shadow.match.matcher import Form
from gateway.shadow.store import Store, open_store
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.report.planted import Planting, of
from tests.gateway.shadow.threshold.worlds import CROSSING, CROSSOVER, INFEASIBLE, World, traffic

CONFIG = f"""
pools:
  - model: {FIRST.model}
    window: 32768
    endpoints: [{{url: "http://127.0.0.1:9001"}}, {{url: "http://127.0.0.1:9002"}}]
  - model: {SECOND.model}
    endpoints: [{{url: "http://127.0.0.1:9003"}}]
"""
CANDIDATES = (512, 1024, 2048, 4096, 8192)
LAX = ("--ttft", "60", "--itl", "10", "--utilisation", "10", "--requests", "100", "--rate", "0.5")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "yardstick.yaml").write_text(CONFIG)
    rows = [
        {"prompt_tokens": prompt.prompt_tokens, "output_tokens": prompt.output_tokens, "hour": prompt.hour}
        for prompt in traffic(Random(3), hours=24, prompts=20)
    ]
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(folder: Path, *arguments: str, trace: str | None = "trace.jsonl") -> Result:
    given = ["--config", f"{folder}/yardstick.yaml", "--store", f"sqlite:///{folder}/store.db"]
    chosen = [text for candidate in CANDIDATES for text in ("--candidate", str(candidate))]
    seen = ["--traffic", f"{folder}/{trace}"] if trace is not None else []
    return CliRunner().invoke(threshold, [*given, *seen, *chosen, *LAX, *arguments])


def plant(store: Store, world: World, tasks: int = 600, *, swapped: bool = False, **fields: object) -> None:
    """One pair a task, lengths spread evenly over octaves. The long model's chance is .5."""
    random, planting = Random(11), Planting(store)
    for number in range(tasks):
        tokens = round(2 ** random.uniform(6.5, 13))
        short = of(random.random() < min(1.0, max(0.0, 0.5 + world.difference(tokens))))
        long = of(random.random() < 0.5)
        pair = (
            partial(planting.pair, long, short, served=(SECOND, FIRST))
            if swapped
            else partial(planting.pair, short, long)
        )
        pair(task_id=f"task/{number}", prompt_tokens=tokens, **fields)
    planting.done()


STEEP = World("crossover", lambda length: 3 * CROSSOVER.difference(length))
CLOSE = World("dominance with cost", lambda length: -0.02 if length <= 2048 else -0.5)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_crossover_is_recognised_within_an_octave(store: Store, folder: Path, swapped: bool) -> None:
    plant(store, STEEP, swapped=swapped)
    result = run(folder, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["status"]) == (0, "recommended")
    assert CROSSING / 2 <= found["quality_alone"] <= CROSSING * 2
    assert found["crossover"][0] <= CROSSING <= found["crossover"][1]
    assert found["threshold"] in found["within_regret"]


def test_a_long_model_that_is_better_everywhere_still_leaves_what_costs_little(store: Store, folder: Path) -> None:
    plant(store, CLOSE, tasks=1500)
    result = run(folder, "--delta", "0.12")
    found = json.loads(run(folder, "--delta", "0.12", "--json").stdout)
    assert (result.exit_code, found["quality_alone"]) == (0, 0)
    assert 512 <= found["threshold"] <= 4096
    assert found["binding"] == ["quality"]
    assert result.stdout.startswith(f"recommended: T = {found['threshold']:,}")
    assert "nothing was changed" in result.stdout
    assert "not measured" in result.stdout


def test_no_threshold_is_feasible_where_quality_and_utilisation_conflict(store: Store, folder: Path) -> None:
    plant(store, INFEASIBLE)
    result = run(folder, "--utilisation", "0.8", "--rate", "20", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["status"], found["threshold"]) == (1, "no feasible T", None)
    assert "utilisation of the long pool" in found["conflict"]
    assert "no feasible T" in run(folder, "--utilisation", "0.8", "--rate", "20").stdout


def test_kinds_are_not_pooled(store: Store, folder: Path) -> None:
    plant(store, STEEP, kind=Kind.LIVE_NEAR)
    result = run(folder)
    assert result.exit_code == 2
    assert "no canary pairs" in result.stdout
    assert run(folder, "--kind", "live-near").exit_code == 0


def test_too_few_tasks_and_failing_controls_are_not_enough(store: Store, folder: Path) -> None:
    plant(store, STEEP, tasks=20)
    assert run(folder).exit_code == 2
    planting = Planting(store, number=1000)
    planting.control(False, Outcome.PASS)
    planting.done()
    result = run(folder)
    assert result.exit_code == 2
    assert "1 controls got a wrong verdict" in result.stdout


def test_a_live_mix_will_do_and_says_what_it_does_not_know(store: Store, folder: Path) -> None:
    plant(store, STEEP)
    mix = LiveMix()
    for prompt in traffic(Random(3), hours=24, prompts=20):
        mix.observe(prompt.prompt_tokens, (), Form.CHAT)
    (folder / "mix.json").write_text(json.dumps(mix.to_json()))
    result = run(folder, trace="mix.json")
    assert result.exit_code == 0
    assert "every answer has 10 tokens" in result.stdout
    (folder / "mix.json").write_text(json.dumps(LiveMix().to_json()))
    assert (run(folder, trace="mix.json").exit_code, run(folder, trace="none").exit_code) == (3, 3)


def test_by_default_it_is_what_the_gateway_here_has_seen(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    plant(store, STEEP, tasks=40)
    none = run(folder, trace=None)
    assert (none.exit_code, "Give a trace with --traffic FILE" in none.stderr) == (3, True)
    mix = LiveMix()
    mix.observe(300, (), Form.CHAT)
    write_mix(mix_file(), mix)
    assert "every answer has" in run(folder, trace=None).stdout


@pytest.mark.parametrize(
    ("trace", "told"), [("", "no prompts"), ('{"prompt_tokens": 5}\n', "line 1: expected"), ("x", "line 1: expected")]
)
def test_what_is_no_answer_ends_with_3(store: Store, folder: Path, trace: str, told: str) -> None:
    plant(store, STEEP, tasks=40)
    (folder / "trace.jsonl").write_text(trace)
    result = run(folder)
    assert (result.exit_code, result.stdout) == (3, "")
    assert told in result.stderr
    assert run(folder, "--delta", "7").exit_code == 3


def test_several_forms_have_to_be_told_apart(store: Store, folder: Path) -> None:
    plant(store, STEEP, tasks=1, form="complete")
    planting = Planting(store, number=5000)
    planting.pair(Outcome.PASS, Outcome.FAIL, form="instruct")
    planting.done()
    result = run(folder)
    assert result.exit_code == 3
    assert "name one with --form (complete, instruct)" in result.stderr
