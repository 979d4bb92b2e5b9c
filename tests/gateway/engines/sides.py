"""The servers that the contract suite runs against: simulated and real vLLM, each by itself and behind the gateway."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway.config import cache_dir
from gateway.engines.vllm.tiny import make
from gateway.families import MODELS
from tests.fakes.started import free_port, until
from tests.vllm.servers import vllm_command

from .contract import Server

WINDOW = 4096
KEY = "secret"
SHORT, LONG = "codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct"
ENGINES = {
    "simulated-codegeex4": (False, SHORT),
    "simulated-loop": (False, LONG),
    "vllm-codegeex4": (True, SHORT),
    "vllm-loop": (True, LONG),
}
_SERVE = (
    "import sys; from gateway.engines.simulated.app import run; from gateway.engines.simulated.settings import *; "
    "run(SimulatedSettings.model_validate_json(sys.argv[1]))"
)
_START_SECONDS = 600.0  # vLLM: 20 on a quiet machine, 160 on a busy one
_STOP_SECONDS = 30.0
# A server of either kind: one with vLLM's defaults, and one with all that changes its answers.
_GUARDED_SETTINGS = {
    "api_key": KEY,
    "max_num_queued_reqs": 2,
    "max_num_seqs": 1,
    "tool_parser": True,
    "request_id_headers": True,
    "enable_prompt_tokens_details": True,
}
_GUARDED_FLAGS = (
    *(
        "--api-key",
        KEY,
        "--max-num-queued-reqs",
        "2",
        "--max-num-seqs",
        "1",
        "--enable-auto-tool-choice",
        "--tool-call-parser",
        "hermes",
    ),
    *("--enable-request-id-headers", "--enable-prompt-tokens-details"),
)
_VLLM_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "TORCH_COMPILE_DISABLE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}


@dataclass(frozen=True)
class Engine:
    """One model's two servers: ``plain`` and ``guarded``. ``tokenizer`` is the tokenizer.json that they read."""

    model: str
    tokenizer: Path
    plain: Server
    guarded: Server


@contextmanager
def engine_of(name: str, tokenizer: Path, start_simulated: Callable[..., Server], folder: Path) -> Iterator[Engine]:
    """``name`` is one of `ENGINES`. ``tokenizer`` is for simulated servers; vLLM's have their checkpoint's."""
    real, model = ENGINES[name]
    if not real:
        plain = start_simulated(model=model, time_scale=0.1)
        yield Engine(model, tokenizer, plain, start_simulated(model=model, time_scale=0.1, **_GUARDED_SETTINGS))
        return
    vllm_command()
    with ExitStack() as stack:
        checkpoint = make(MODELS[model], cache_dir() / "tiny")
        urls = [stack.enter_context(_vllm(model, checkpoint, folder, flags)) for flags in ((), _GUARDED_FLAGS)]
        servers = [Server(url(), model, key) for url, key in zip(urls, (None, KEY), strict=True)]
        yield Engine(model, checkpoint / "tokenizer.json", *servers)


@contextmanager
def _vllm(model: str, checkpoint: Path, folder: Path, flags: tuple[str, ...]) -> Iterator[Callable[[], str]]:
    """`vllm serve` itself, since `yardstick engine vllm` has its own flags where vLLM's defaults are to be seen.

    Yields what waits until it answers, so that two may start at once.
    """
    port = free_port()
    template = folder / f"{model}.jinja"
    template.write_text(MODELS[model].chat_template or "")
    command = [str(vllm_command()), "serve", str(checkpoint), "--served-model-name", model, "--port", str(port)]
    command += ["--host", "127.0.0.1", "--max-model-len", str(WINDOW), "--chat-template", str(template)]
    command += ["--enforce-eager", "--kv-cache-memory-bytes", str(64 * 1024 * 1024), *flags]
    url = f"http://127.0.0.1:{port}"
    with _process(command, folder / f"vllm-{port}.log", _VLLM_ENVIRONMENT) as (process, log):

        def wait() -> str:
            healthy = until(lambda: process.poll() is not None or _answers(url), _START_SECONDS)
            assert healthy, f"vLLM does not answer:\n{log.read_text()[-5000:]}"
            assert process.poll() is None, f"vLLM did not start:\n{log.read_text()[-5000:]}"
            return url

        yield wait


def _answers(url: str) -> bool:
    try:
        return Server(url, "").get("/health").status == 200
    except OSError:
        return False


@contextmanager
def simulated_servers(tokenizer: Path) -> Iterator[Callable[..., Server]]:
    """Starts simulated servers on free ports; ends them with SIGTERM and expects them to obey."""
    processes: list[subprocess.Popen[str]] = []

    def start(**settings: Any) -> Server:
        given = {"model": SHORT, "port": 0, "window": WINDOW, "tokenizer": str(tokenizer), **settings}
        process = subprocess.Popen([sys.executable, "-c", _SERVE, json.dumps(given)], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+:\d+", line)
        assert found, f"no address in {line!r}"
        return Server(found.group(), given["model"], settings.get("api_key"))

    try:
        yield start
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            assert process.stdout is not None
            process.stdout.close()
            assert process.wait(timeout=10) == 0


@contextmanager
def gateway_before(server: Server, tokenizer: Path, folder: Path) -> Iterator[Server]:
    """`yardstick serve` in front of one model server, in a process of its own. Its clients need no key."""
    name = "guarded" if server.key else "plain"
    endpoint = {"url": server.url, **({"api_key_env": "CONTRACT_KEY"} if server.key else {})}
    pool = {"model": server.model, "endpoints": [endpoint], "tokenizer": str(tokenizer), "tools": True}
    config = {"port": 0, "access_log": False, "operator_fields": True, "pools": [pool]}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(path)]
    with _process(command, folder / f"{name}.log", {"CONTRACT_KEY": server.key or ""}) as (process, log):
        ready = until(lambda: process.poll() is not None or "serves" in log.read_text(), _START_SECONDS)
        said = log.read_text()
        found = re.search(
            r"http://127\.0\.0\.1:\d+", next((line for line in said.splitlines() if "yardstick" in line), "")
        )
        assert ready, f"the gateway does not start:\n{said}"
        assert found, f"the gateway says no address:\n{said}"
        url = found.group()
        assert until(lambda: _is_ready(url), _STOP_SECONDS), "the gateway does not become ready"
        yield Server(url, server.model, None, server)


def _is_ready(url: str) -> bool:
    try:
        return Server(url, "").get("/health/ready").status == 200
    except OSError:
        return False


@contextmanager
def _process(
    command: list[str], log: Path, environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    try:
        yield process, log
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
