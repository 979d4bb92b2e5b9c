"""`yardstick shadow score` and `samples`, as a process, with real slots."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.shadow.sandbox.level import Level
from gateway.shadow.score.proven import circumstances
from gateway.shadow.score.slots import bare_python
from gateway.shadow.suites import five
from tests.gateway.shadow.walls import need, need_any

RUN = "import sys; from gateway.cli.shadow.{0} import {0}; {0}(sys.argv[1:])"
TASK = five.tasks()[0]
RIGHT = TASK["complete_prompt"] + TASK["canonical_solution"]


@pytest.fixture
def walls() -> None:
    need_any()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, that says both levels were proven: what is tested here is something else."""
    folder = tmp_path_factory.mktemp("cache")
    notes = folder / "yardstick" / "sandbox-proofs.json"
    notes.parent.mkdir()
    notes.write_text(json.dumps([circumstances(level, bare_python()) for level in Level]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return notes


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", RUN.format(name), *arguments]


def run(name: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(name, *arguments), input=given, capture_output=True, text=True, timeout=100)


def line(solution: str, task_id: str = TASK["task_id"]) -> str:
    return json.dumps({"task_id": task_id, "solution": solution}) + "\n"


def verdicts(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(each) for each in done.stdout.splitlines()]


@pytest.mark.usefixtures("walls")
def test_json_lines_are_in_order_with_exactly_these_fields() -> None:
    answer = f"Here it is:\n```python\n{RIGHT}\n```\n"
    done = run("score", "--samples", "-", "--json", given=line(RIGHT) + line("") + line(answer) + line("def f(: ..."))
    found = verdicts(done)
    assert [list(each) for each in found] == [["task_id", "verdict", "level", "seconds"]] * 4
    assert [each["verdict"] for each in found] == ["pass", "fail", "fail", "fail"]
    assert {each["task_id"] for each in found} == {TASK["task_id"]}
    assert all(each["level"].endswith("/separate") for each in found)
    extracted = run("score", "--samples", "-", "--json", "--extract", given=line(answer))
    assert [each["verdict"] for each in verdicts(extracted)] == ["pass"]


@pytest.mark.usefixtures("walls")
def test_a_table_for_people_and_lines_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    done = run("score", "--samples", "-", "--output", str(file), "--reasons", given=line(RIGHT) + line("f = 1"))
    assert done.returncode == 0, done.stderr
    assert "39 of the suite's 40 tasks have no samples and are left out" in done.stdout
    assert "Verdicts: 1 pass, 1 fail, 0 timeout, 0 error (errors are in no rate)" in done.stdout
    assert "50.0%" in done.stdout
    assert "not enough: 1 task" in done.stdout
    first, second = (json.loads(each) for each in file.read_text().splitlines())
    assert set(first) == {"task_id", "verdict", "level", "seconds", "reason", "program"}
    assert (first["reason"], second["verdict"]) == ("", "fail")
    assert second["reason"]


@pytest.mark.usefixtures("walls")
def test_a_level_is_proven_before_it_is_used(cache: Path) -> None:
    cache.unlink()
    done = run("score", "--samples", "-", "--json", given=line(RIGHT))
    assert [each["verdict"] for each in verdicts(done)] == ["pass"]
    assert done.stderr.startswith("trying attacks on the sandbox at level ")
    assert len(json.loads(cache.read_text())) == 1


def test_bad_samples_end_with_2_before_anything_runs() -> None:
    done = run("score", "--samples", "-", "--json", given=line(RIGHT) + "{\n" + line("x", "BigCodeBench/1"))
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith("stdin:2: is not JSON")
    assert second.startswith("stdin:3: task_id 'BigCodeBench/1' is not in the suite five")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--samples", "/none"), 2, "/none: can't be read: No such file or directory"),
        (("--samples", "-", "--suite", "/none"), 2, "/none: can't be read: No such file or directory"),
        (("--samples", "-", "--reasons"), 2, "use it with --json or --output"),
        (("--samples", "-", "--output", "/none/x"), 2, "--output /none/x can't be written: No such file"),
        (("--samples", "-", "--timeout", "0"), 2, "--timeout"),
        (("--samples", "-", "--environment", "/none"), 1, "yardstick shadow setup --folder /none"),
        ((), 2, "Missing option '--samples'"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(arguments: tuple[str, ...], code: int, told: str) -> None:
    done = run("score", *arguments, given=line(RIGHT))
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr


def test_samples_of_a_suite_are_whole_modules() -> None:
    right = [json.loads(each) for each in run("samples").stdout.splitlines()]
    both = [json.loads(each) for each in run("samples", "--wrong").stdout.splitlines()]
    assert [each["task_id"] for each in right] == [task["task_id"] for task in five.tasks()]
    assert len(both) == len(right) + sum(len(task["wrong"]) for task in five.tasks())
    assert right[0]["solution"] == f"{TASK['complete_prompt']}\n{TASK['canonical_solution']}"


def test_a_suite_without_wrong_answers(tmp_path: Path) -> None:
    plain = {name: value for name, value in TASK.items() if name != "wrong"}
    file = tmp_path / "tasks.jsonl"
    file.write_text(json.dumps(plain))
    done = run("samples", "--suite", str(file), "--wrong")
    assert done.returncode == 2
    assert "comes without wrong answers" in done.stderr


def children(pid: int) -> list[int]:
    """All processes below one."""
    found, left = list[int](), [pid]
    while left:
        tasks = Path(f"/proc/{left.pop()}/task")
        below = [int(each) for task in tasks.glob("*/children") for each in task.read_text().split()]
        found += below
        left += below
    return found


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder for temporary files that the slot's user may enter, as /tmp is; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_leaves_nothing_behind(told: signal.Signals, level: Level, open_folder: Path) -> None:
    need(level)
    samples = open_folder / "samples.jsonl"
    samples.write_text(line(RIGHT) + line("while True: pass") * 8)
    arguments = command("score", "--samples", str(samples), "--json", "--level", level, "--timeout", "60")
    environment = os.environ | {"TMPDIR": str(open_folder)}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert b'"pass"' in process.stdout.readline()
        below = children(process.pid)
        assert below
        process.send_signal(told)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert errors.endswith(b"stopped; what was scored so far is above\n")
        assert output == b""
    assert [pid for pid in below if is_alive(pid)] == []
    assert [path.name for path in open_folder.iterdir()] == ["samples.jsonl"]


@pytest.mark.usefixtures("walls")
def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    samples = tmp_path / "samples.jsonl"
    samples.write_text(line(RIGHT) * 300)
    with subprocess.Popen(
        command("score", "--samples", str(samples), "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        below = children(process.pid)
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b""
    assert [pid for pid in below if is_alive(pid)] == []
