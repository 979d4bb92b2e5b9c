"""Settings that can't be used are told before anything is started, by `check` and by `serve` alike."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway import LONG, SHORT
from tests.fakes.process import write_config

FIRST = {"family": "codegeex", "model": SHORT, "daily_tokens": 1000}
SECOND = {"family": "iquest", "model": LONG, "daily_tokens": 1000}
WRONG = [
    ({"suites": ["nowhere.jsonl"]}, "nowhere.jsonl"),
    ({"canary": {"enabled": True, "first": FIRST, "second": SECOND, "rate": {"per_day": 3}}}, "rate"),
    ({"canary": {"enabled": True, "first": FIRST, "second": SECOND}}, "`tokenizer`"),
    ({"canary": {"first": FIRST, "second": {**SECOND, "family": "codegeex"}}}, "of the family iquest"),
    ({"keyless": 2}, "shadow.keyless"),
    ({"queue": "amqp://me:s3cret@host/0"}, "shadow.queue"),
    ({"gate": "nowhere.yaml"}, "nowhere.yaml can't be read"),
    ({"mirror": {"on": True}}, "shadow.mirror"),
]


def run(folder: Path, command: str, shadow: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    urls = {SHORT: ["http://127.0.0.1:9"], LONG: ["http://127.0.0.1:9"]}
    routing = {"short": SHORT, "long": LONG}
    config = str(write_config(folder / "yardstick.yaml", urls, routing=routing, shadow=shadow))
    line = [sys.executable, "-m", "gateway", command, "--config", config, *options]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("shadow", "says"), WRONG)
def test_serve_does_not_start(tmp_path: Path, shadow: dict[str, Any], says: str) -> None:
    done = run(tmp_path, "serve", shadow)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize(("shadow", "says"), WRONG)
def test_check_says_so(tmp_path: Path, shadow: dict[str, Any], says: str) -> None:
    done = run(tmp_path, "check", shadow, "--offline", "--json")
    report = json.loads(done.stdout)
    assert "s3cret" not in done.stdout + done.stderr
    assert (done.returncode, report["ok"]) == (1, False)
    assert any(says in f"{problem['setting']} {problem['message']}" for problem in report["problems"])
