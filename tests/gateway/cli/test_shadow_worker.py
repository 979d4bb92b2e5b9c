"""`yardstick shadow worker`, as a process, with real slots."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from gateway.cli.shadow.worker_output import Bar
from gateway.shadow.gate.draws import Outcome
from gateway.shadow.sandbox.level import Level
from gateway.shadow.score.proven import circumstances
from gateway.shadow.score.slots import BARE, bare_python
from gateway.shadow.store import State, Store, open_store
from gateway.shadow.worker import suite_key
from gateway.shadow.worker.queue import RunQueue
from gateway.shadow.worker.queue_server import QueueServer
from tests.fakes.otlp import GRPC, HTTP, receiver
from tests.gateway.shadow.walls import need_any
from tests.gateway.shadow.worker.conftest import redis
from tests.gateway.shadow.worker.redis_server import RedisServer
from tests.gateway.shadow.worker.scenes import FIVE, TASK, Crew, control, outcomes, scores, waiting

__all__ = ["redis"]

RUN = "import sys; from gateway.cli.shadow.worker import worker; worker(sys.argv[1:])"
RIGHT = f"Here:\n```python\n{TASK.complete_prompt}{TASK.canonical_solution}\n```\nSECRET-WORD"
ENDLESS = f"```python\ndef {TASK.entry_point}(*_):\n    while True:\n        pass\n```"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, that says both levels were proven: what is tested here is something else."""
    folder = tmp_path_factory.mktemp("cache")
    notes = folder / "yardstick" / "sandbox-proofs.json"
    notes.parent.mkdir()
    notes.write_text(json.dumps([circumstances(level, bare_python()) for level in Level]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    for name in ("YARDSTICK_SHADOW_STORE", "YARDSTICK_SHADOW_QUEUE"):
        monkeypatch.delenv(name, raising=False)
    return notes


def command(*arguments: str) -> list[str]:
    """Of the stored samples it deletes none, whatever the day is, unless arguments say so."""
    return [sys.executable, "-c", RUN, "--keep-samples", "3650", "--keep-unscored", "3650", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=100)


def test_real_slots_score_the_suite_five(store: Store, url: str) -> None:
    level = need_any()
    right, wrong = waiting(store, 0, answer=RIGHT), waiting(store, 1, answer="I can't. SECRET-WORD")
    waiting(store, 2, suite="BigCodeBench:1")
    cut = waiting(store, 3, answer=RIGHT, finish_reason="length")
    good = control(store, 4, canonical=True)
    bad = waiting(store, 5, answer=TASK.wrong[0], **_known_bad(store))
    done = run("--store", url, "--once", "--workers", "2", "--again", "1")
    assert done.returncode == 0, done.stderr
    assert outcomes(store) == ["pass", "fail", None, Outcome.LENGTH, "pass", "fail"]
    found = [json.loads(each) for each in done.stdout.splitlines()]
    assert {(line["run"], line["number"], line["verdict"]) for line in found} == {
        *((right.id, number, "pass") for number in (0, 1)),
        *((wrong.id, number, "fail") for number in (0, 1)),
        (cut.id, 0, "fail"),
        *((good.id, number, "pass") for number in (0, 1)),
        *((bad.id, number, "fail") for number in (0, 1)),
    }
    assert set(found[0]) == {
        *("run", "number", "suite", "task_id", "role", "side", "model"),
        *("verdict", "level", "seconds", "program", "new"),
    }
    (score, _) = scores(store, right)
    assert (score.level, score.environment) == (f"{level}/separate", BARE)
    assert "SECRET-WORD" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[0].endswith(f"at level {level} with {BARE}, 2 at once")


def _known_bad(store: Store) -> dict[str, Any]:
    sample = next(drawn.sample for drawn in store.evidence.samples() if drawn.sample.control)
    return {"control": False, "between": sample.between}


def test_what_is_stored_stays_as_long_as_is_said(store: Store, url: str) -> None:
    need_any()
    now = datetime.now(UTC).timestamp()
    waiting(store, 0, answer=RIGHT, at=now - 2 * 86_400)
    young = waiting(store, 1, answer=RIGHT, at=now)
    done = run("--store", url, "--once", "--keep-samples", "1", "--keep-answers", "7")
    assert done.returncode == 0, done.stderr
    (left,) = (scored.run for drawn in store.evidence.samples(answers=True) for scored in drawn.runs)
    assert (left.id, left.answer) == (young.id, RIGHT)


def test_unscored_answers_are_given_up_when_is_said(store: Store, url: str) -> None:
    need_any()
    waiting(store, 0, answer=RIGHT, at=datetime.now(UTC).timestamp() - 2 * 86_400)
    assert run("--store", url, "--once", "--keep-unscored", "1").returncode == 0
    assert outcomes(store) == [Outcome.ERROR]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_gives_back_what_is_not_done(store: Store, url: str, number: signal.Signals) -> None:
    need_any()
    waiting(store, 0, answer=ENDLESS)
    with subprocess.Popen(command("--store", url, "--workers", "1"), stderr=subprocess.PIPE, text=True) as process:
        while not store.backlog()[State.LEASED] and process.poll() is None:
            threading.Event().wait(0.05)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert store.backlog()[State.WAITING] == 1
    (claim,) = store.claim("b", seconds=9)
    assert claim.attempt == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--store", "sqlite:////none/store.db"), 1, "there is no such file"),
        (("--store", "mysql://me:s3cret@h/d"), 1, "is not available"),
        (("--queue", "amqp://me:s3cret@h/d"), 1, "the queue's address is none"),
        (("--suite", "/none"), 2, "/none: can't be read: No such file or directory"),
        (("--environment", "/none"), 1, "yardstick shadow setup --folder /none"),
        (("--again", "2"), 2, "--again"),
        (("--keep-answers", "3651"), 2, "--keep-answers"),
        (("postgresql://me:s3cret@h/d",), 2, "//***@h/d"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(
    store: Store, url: str, arguments: tuple[str, ...], code: int, told: str
) -> None:
    done = run(*(() if "--store" in arguments else ("--store", url)), *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_with_a_queue_that_is_not_there_it_says_so_and_scores(store: Store, url: str, tmp_path: Path) -> None:
    need_any()
    waiting(store, 0, answer=RIGHT)
    queue = {"YARDSTICK_SHADOW_QUEUE": f"unix://me:s3cret@{tmp_path}/none"}
    line = command("--store", url, "--workers", "1")
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=os.environ | queue) as process:
        assert process.stderr
        told = ""
        while "the queue" not in told and (each := process.stderr.readline()):
            told += each
        while any(store.backlog().values()) and process.poll() is None:
            threading.Event().wait(0.05)
        process.send_signal(signal.SIGTERM)
        told += process.communicate(timeout=60)[1]
    assert process.returncode == 0, told
    assert outcomes(store) == [Outcome.PASS]
    assert told.count("the queue of shadow-eval is not available: ") == 1
    assert f"redis at {tmp_path}/none. Until it is, the store is looked through" in told
    assert "s3cret" not in told


def test_it_takes_what_is_in_the_queue(store: Store, url: str, redis: RedisServer) -> None:
    """Also what is in no store, or waits there no longer."""
    need_any()
    run = waiting(store, 0, answer=RIGHT)
    line = command("--store", url, "--queue", redis.url)
    with (
        redis.client() as client,
        RunQueue(QueueServer(redis.url), lambda _: None) as queue,
        subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process,
    ):
        while not queue.up:
            threading.Event().wait(0.05)
        queue.offer([(suite_key(FIVE), run.id), (suite_key(FIVE), "none")])
        while not list(client.scan_iter("saq:job:*")):
            threading.Event().wait(0.01)
        while (list(client.scan_iter("saq:job:*")) or any(store.backlog().values())) and process.poll() is None:
            threading.Event().wait(0.05)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert outcomes(store) == [Outcome.PASS]
    assert "not available" not in told


def test_without_walls_it_refuses_and_says_what_to_do(store: Store, url: str, tmp_path: Path) -> None:
    waiting(store, 0)
    done = subprocess.run(
        command("--store", url, "--once", "--level", "bubblewrap"),
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("no sandbox holds here, and answers are never run without one\nbubblewrap: ")
    assert "`yardstick shadow sandbox` says what each level needs" in done.stderr
    assert store.backlog()[State.WAITING] == 1


def test_a_bar_counts_verdicts_for_who_watches(store: Store) -> None:
    waiting(store, 0)
    waiting(store, 1, "MARKED_WRONG")
    printed = io.StringIO()
    screen = Console(file=printed, force_terminal=True, width=100)
    with Progress(TextColumn("{task.description}"), console=screen) as progress:
        bar = Bar(progress, progress.add_task("", total=None))
        Crew(store, observer=bar).run()
        bar.told("[not markup]")
        assert progress.tasks[0].description == "2 scored: 1 pass, 1 fail, 0 timeout, 0 error"
    assert "[not markup]" in printed.getvalue()


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_new_verdicts_become_events_with_nothing_of_the_answer(
    store: Store, url: str, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_any()
    raises = f"```python\ndef {TASK.entry_point}(*_):\n    raise ValueError('SECRET-WORD')\n```"
    waiting(store, 0, answer=RIGHT, key="SECRET-WORD")
    waiting(store, 1, answer=raises)
    with receiver(protocol) as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", received.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "authorization=SECRET-WORD")
        done = run("--store", url, "--once", "--workers", "1", "--again", "0")
    assert done.returncode == 0, done.stderr
    told = [(event.name, event.attributes["gen_ai.evaluation.score.label"]) for event in received.events]
    assert sorted(told) == [("gen_ai.evaluation.result", says) for says in ("fail", "pass")]
    assert all(headers["authorization"] == "SECRET-WORD" for headers in received.headers)
    assert all(b"SECRET-WORD" not in body for body in received.bodies)


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_without_a_receiver_it_scores_all_the_same_and_says_what_was_lost(
    store: Store, url: str, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_any()
    waiting(store, 0, answer=RIGHT)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{bound.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        done = run("--store", url, "--once", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert outcomes(store) == ["pass"]
    assert done.stderr.splitlines()[1:] == [  # and nothing of the SDK's own
        "OpenTelemetry: events of verdicts can't be sent. Scoring goes on; what is lost is counted",
        "OpenTelemetry: of 1 events of verdicts 1 were lost",
    ]
