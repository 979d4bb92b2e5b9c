"""Tiny checkpoints in real vLLM: all architectures, on one process and on two, and only tokens that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config import cache_dir
from gateway.engines.vllm.tiny import make
from gateway.families import MODELS, render
from gateway.tokens import Counter
from tests.fakes.started import free_port, until

from .servers import RunningVllm, VllmServers, vllm_command

CODEGEEX4, LOOP = "codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct"
CHAT = [{"role": "user", "content": "Write an LRU cache </s> in Python, größer als 3."}]


def ask(server: RunningVllm, route: str, **fields: Any) -> dict[str, Any]:
    body = json.dumps({"model": server.model, **fields}).encode()
    request = urllib.request.Request(f"{server.url}/v1/{route}", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as response:
        found: dict[str, Any] = json.load(response)
    return found


def counted(model: str, text: str, *, special: bool) -> int:
    """By the gateway's own counter."""
    folder = make(MODELS[model], cache_dir() / "tiny")
    return Counter.load(folder / "tokenizer.json").count(text, 10**6, special=special).tokens


@pytest.mark.parametrize("model", [CODEGEEX4, LOOP, "iquest-coder-v1-7b-instruct", "codegeex2-6b"])
def test_every_architecture_answers(start_vllm: VllmServers, model: str) -> None:
    server = start_vllm(model)
    text = "def f(x):\n    return <s>"
    found = ask(server, "completions", prompt=text, max_tokens=5, ignore_eos=True)
    assert found["usage"]["prompt_tokens"] == counted(model, text, special=True)
    assert found["usage"]["completion_tokens"] == 5
    if MODELS[model].chat_template is not None:
        found = ask(server, "chat/completions", messages=CHAT, max_tokens=5, ignore_eos=True)
        rendered = render(MODELS[model], {"messages": CHAT})
        assert found["usage"]["prompt_tokens"] == counted(model, rendered, special=False)
        assert found["choices"][0]["message"]["content"]


@pytest.mark.parametrize("model", [CODEGEEX4, LOOP])
def test_only_tokens_that_exist_are_drawn(start_vllm: VllmServers, model: str) -> None:
    """2,000 of them, at a temperature at which all others would be drawn as well: they are most of the vocabulary."""
    server = start_vllm(model)
    drawing = {"n": 5, "max_tokens": 100, "temperature": 2.0, "ignore_eos": True, "return_token_ids": True}
    found = ask(server, "completions", prompt=["a", "def f(x):\n", "the quick", "import os"], **drawing)
    drawn = [token for choice in found["choices"] for token in choice["token_ids"]]
    described = json.loads(server.tokenizer.read_text())
    special = {token["id"] for token in described["added_tokens"]}
    ends = set(json.loads(server.tokenizer.with_name("generation_config.json").read_text())["eos_token_id"])
    assert len(drawn) == 2_000
    assert set(drawn) <= (set(described["model"]["vocab"].values()) - special) | ends
    assert len(set(drawn)) > 1_000, "random ones"


def test_two_whole_windows_fit_the_kv_cache(start_vllm: VllmServers) -> None:
    found = re.search(r"window ([\d,]+) tokens, KV cache ([\d,]+) tokens", start_vllm(LOOP).log.read_text())
    assert found
    window, cache = (int(number.replace(",", "")) for number in found.groups())
    assert window == 131_072
    assert cache >= 2 * window


@pytest.fixture(params=[LOOP, CODEGEEX4])
def spread(request: pytest.FixtureRequest, start_vllm: VllmServers, tmp_path: Path) -> Iterator[RunningVllm]:
    """A server of two processes."""
    start_vllm.stop()  # two cores are enough for this one only
    model, port, log = request.param, free_port(), tmp_path / "vllm.log"
    command = [sys.executable, "-m", "gateway", "engine", "vllm", "--tiny", "--tensor-parallel", "2"]
    command += ["--model", model, "--port", str(port), "--vllm", str(vllm_command())]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    tokenizer = make(MODELS[model], cache_dir() / "tiny") / "tokenizer.json"
    server = RunningVllm(model, f"http://127.0.0.1:{port}", log, tokenizer, process)
    try:
        until(lambda: process.poll() is not None or f"{model} is ready on" in log.read_text(errors="replace"), 400)
        assert process.poll() is None, log.read_text(errors="replace")[-6000:]
        yield server
    finally:
        server.stop()


def test_two_processes_serve_one_model(spread: RunningVllm) -> None:
    found = ask(spread, "chat/completions", messages=CHAT, max_tokens=20, ignore_eos=True, temperature=0)
    rendered = render(MODELS[spread.model], {"messages": CHAT})
    assert found["usage"]["prompt_tokens"] == counted(spread.model, rendered, special=False)
    assert found["usage"]["completion_tokens"] == 20
    assert re.search(r"tensor_parallel_size=2", spread.log.read_text(errors="replace"))
