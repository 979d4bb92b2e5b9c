"""`yardstick shadow gate`: its exit codes, which are its answer, and that nothing else ends with them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.cli.shadow.gate import gate
from gateway.shadow.gate.decide import decide
from gateway.shadow.gate.draws import Outcome
from gateway.shadow.gate.policy import Policy
from gateway.shadow.score.verdict import Says
from gateway.shadow.store import Side, State, Store, Wanted, open_store
from tests.gateway.shadow.gate.worlds import FIRST, POLICY, SECOND
from tests.gateway.shadow.report.planted import Planting, of
from tests.gateway.shadow.store.evidence import NOON, a_sample, both

LENIENT = POLICY.replace("delta: 0.05", "delta: 0.3\nleast_reruns: 2")
README = Path(__file__).parents[3] / "gateway/shadow/gate/README.md"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(LENIENT)
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(gate, arguments)


def fill(store: Store, first: float, second: float, pairs: int = 120, **fields: object) -> None:
    """Pairs of both buckets with these chances, controls before and among them, and two answers scored again."""
    random, planting = Random(5), Planting(store)
    for place in range(pairs):
        if place % 60 == 0:
            planting.control(True, Outcome.PASS)
            planting.control(False, Outcome.FAIL)
        outcomes = of(random.random() < first), of(random.random() < second)
        planting.pair(*outcomes, prompt_tokens=(1000, 5000)[place % 2], **fields)  # type: ignore[arg-type]
        if place < 2:
            says = Says.PASS if outcomes[0] is Outcome.PASS else Says.FAIL
            planting.again(a_sample(planting.number), Side.FIRST, says)
    planting.done()


@pytest.mark.parametrize(
    ("chances", "pairs", "code", "answer"),
    [((0.9, 0.6), 120, 0, "holds"), ((0.2, 0.9), 160, 1, "violated"), ((0.6, 0.8), 20, 2, "undecided")],
)
def test_the_answer_is_the_exit_code(
    store: Store, url: str, policy: Path, chances: tuple[float, float], pairs: int, code: int, answer: str
) -> None:
    fill(store, *chances, pairs=pairs)
    result = run("--policy", str(policy), "--store", url, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["exit_code"], found["answer"]) == (code, code, answer)
    assert list(found) == [
        *("answer", "exit_code", "reasons", "pairs_still_needed", "buckets", "overall", "stream", "controls"),
        *("failing_controls", "scored_again", "flipped", "policy", "samples_behind_an_open_run"),
    ]
    assert list(found["buckets"][0]) == [
        *("name", "weight", "answer", "pairs", "mean", "bounds", "joint_bounds", "first_only", "second_only"),
        *("dropped", "never_pairs", "if_dropped_fail", "if_dropped_pass", "needed"),
    ]
    settings = Policy.from_yaml(LENIENT)
    wanted = Wanted(models=(FIRST.model, SECOND.model))
    decision = decide(store.evidence.events(wanted), settings)
    assert found["reasons"] == list(decision.reasons)
    assert [bucket["pairs"] for bucket in found["buckets"]] == [report.n for report in decision.buckets]
    assert [bucket["bounds"]["low"] for bucket in found["buckets"]] == [r.bounds.lower for r in decision.buckets]
    assert found["pairs_still_needed"] == (0 if code != 2 else sum(r.needed or 0 for r in decision.buckets))
    text = run("--policy", str(policy), "--store", url)
    assert text.exit_code == code
    assert text.stdout.startswith(f"{answer}: {FIRST.model} at most 30 points below {SECOND.model} (canary pairs)")


def test_an_empty_store_is_undecided(store: Store, url: str, policy: Path) -> None:
    result = run("--policy", str(policy), "--store", url)
    assert result.exit_code == 2
    assert "no canary pairs were drawn" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Missing option '--policy'"),
        (("--polcy", "x"), "No such option"),
        (("--policy", "/none"), "--policy /none can't be read: No such file"),
        (("--policy", "{policy}", "--store", "sqlite:////none/store.db"), "there is no such file"),
        (("--policy", "{policy}", "--store", "mysql://me:s3cret@h/d"), "is not available"),
        (("--policy", "{policy}", "--store", "no url: s3cret"), "is not available"),
        (("--policy", "{policy}", "postgresql://me:s3cret@h/d"), "//***@h/d"),
        (("--policy", "{policy}", "--store", "postgresql://me:s3cret@127.0.0.1:9/d"), "database d at 127.0.0.1:9"),
        (("--policy", "{wrong}"), "delta"),
    ],
)
def test_what_is_no_answer_ends_with_3(policy: Path, arguments: tuple[str, ...], told: str) -> None:
    wrong = policy.with_name("wrong.yaml")
    wrong.write_text(POLICY.replace("delta: 0.05", "delta: 5"))
    result = run(*(each.format(policy=policy, wrong=wrong) for each in arguments))
    assert (result.exit_code, result.stdout) == (3, "")
    assert told in result.stderr
    assert "s3cret" not in result.stderr


def test_a_bug_and_ctrl_c_are_no_answers(store: Store, url: str, policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for raised, told in ((RuntimeError("boom"), "RuntimeError: boom"), (KeyboardInterrupt(), "interrupted")):

        def fails(*_: object, raised: BaseException = raised) -> None:
            raise raised

        monkeypatch.setattr(sys.modules[gate.callback.__module__], "decide", fails)
        result = run("--policy", str(policy), "--store", url)
        assert result.exit_code == 3
        assert told in result.stderr


def test_a_reader_that_went_away_is_no_answer(store: Store, url: str, policy: Path) -> None:
    code = f"from gateway.cli.shadow.gate import gate; gate(['--policy', {str(policy)!r}, '--store', {url!r}])"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        done = subprocess.run([sys.executable, "-c", code], stdout=output, stderr=subprocess.DEVNULL, timeout=60)
    assert done.returncode not in (0, 1, 2)
    assert done.returncode != -signal.SIGPIPE


def test_several_suites_or_forms_have_to_be_named(store: Store, url: str, policy: Path) -> None:
    planting = Planting(store)
    planting.pair(Outcome.PASS, Outcome.PASS)
    planting.pair(Outcome.PASS, Outcome.PASS, form="instruct")
    planting.pair(Outcome.PASS, Outcome.PASS, suite="BigCodeBench:9")
    planting.pair(Outcome.PASS, Outcome.PASS, suite="five:2")
    planting.done()
    common = ("--policy", str(policy), "--store", url)
    result = run(*common)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "name one with --suite (BigCodeBench, five)" in result.stderr
    result = run(*common, "--suite", "five")
    assert "name one with --form (complete, instruct)" in result.stderr
    found = json.loads(run(*common, "--suite", "five", "--form", "complete", "--json").stdout)
    assert (found["stream"]["number"], found["stream"]["key"]["suite"]) == (2, "five:2")
    assert found["stream"]["pairs_of_earlier"] == 1
    found = json.loads(run(*common, "--suite", "five:1", "--form", "complete", "--json").stdout)
    assert (found["stream"]["number"], found["stream"]["key"]["suite"]) == (1, "five:1")


def test_sides_in_reverse_are_told(store: Store, url: str, policy: Path) -> None:
    planting = Planting(store)
    planting.pair(Outcome.PASS, Outcome.PASS, served=(SECOND, FIRST))
    planting.done()
    result = run("--policy", str(policy), "--store", url)
    assert result.exit_code == 3
    assert "swap the policy's sides" in result.stderr


def test_what_waits_behind_an_open_run_is_told(store: Store, url: str, policy: Path) -> None:
    fill(store, 0.9, 0.6, pairs=10)
    waiting = a_sample(0, at=NOON - 1)
    store.add(waiting, *both(waiting, state=State.ASKED))
    result = run("--policy", str(policy), "--store", url)
    assert result.exit_code == 2
    assert "13 samples are not looked at yet" in result.stdout


def test_the_readmes_examples_are_what_it_says() -> None:
    blocks = README.read_text().split("```")
    documents = [yaml.safe_load(block[4:]) for block in blocks if block.startswith("yaml")]
    assert Policy.from_yaml(next(block[4:] for block in blocks if block.startswith("yaml")))
    (template,) = (each for each in documents if each.get("kind") == "AnalysisTemplate")
    job = template["spec"]["metrics"][0]["provider"]["job"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    names = {parameter.opts[0] for parameter in gate.params}
    assert {each for each in container["command"] if each.startswith("--")} <= names
    rules = {rule["action"]: rule["onExitCodes"]["values"] for rule in job["podFailurePolicy"]["rules"]}
    assert rules == {"FailJob": [1, 3], "Count": [2]}
    assert job["template"]["spec"]["restartPolicy"] == "Never"
