"""Servers, clocks and a tokenizer for the tests of the engines."""

from __future__ import annotations

import asyncio
import heapq
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from gateway.families import MODELS

MODEL = "codegeex4-all-9b"
WINDOW = 4096
_SERVE = "import sys; from gateway.engines.simulated import *; run(SimulatedSettings.model_validate_json(sys.argv[1]))"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The values of a stream's events; its framing is checked on the way."""
        frames = self.body.decode().split("\n\n")
        assert frames[-1] == ""
        assert frames[-2] == "data: [DONE]"
        assert all(frame.startswith("data: ") for frame in frames[:-1])
        return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]

    def refused(self, status: int, kind: str, param: str | None) -> str:
        """Check an error's whole shape; returns its message."""
        assert self.status == status
        assert self.headers["content-type"] == "application/json"
        assert list(self.json) == ["error"]
        error = self.json["error"]
        assert list(error) == ["message", "type", "param", "code"]
        assert (error["type"], error["param"], error["code"]) == (kind, param, status)
        return str(error["message"])


@dataclass
class Server:
    """A model server under test, seen over HTTP alone."""

    url: str
    model: str
    key: str | None = None

    def connect(self) -> http.client.HTTPConnection:
        address = urlsplit(self.url)
        return http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=60)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPConnection:
        """Send a request and leave its answer unread. Underscores in header names become dashes."""
        connection = self.connect()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("content-type", "application/json")
        if self.key is not None:
            sent.setdefault("authorization", f"Bearer {self.key}")
        connection.request(method, path, data, sent)
        return connection

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = self.send(method, path, body, **headers)
        try:
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)

    def chat(self, content: str = "Parse an ISO date, please.", **fields: Any) -> Answer:
        messages = [{"role": "user", "content": content}]
        return self.post("/v1/chat/completions", {"model": self.model, "messages": messages, **fields})

    def complete(self, prompt: Any = "def binary search", **fields: Any) -> Answer:
        return self.post("/v1/completions", {"model": self.model, "prompt": prompt, **fields})

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        found = re.findall(rf"^{re.escape(name)}(?:{{(.*)}})? (\S+)$", self.get("/metrics").body.decode(), re.M)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(value) for text, value in found if all(label in text for label in wanted))

    def wait_for(self, reached: Callable[[], bool], seconds: float = 20.0) -> None:
        """Ask again until ``reached``; each question is an HTTP request, so this does not spin."""
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, "not reached in time"


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-level BPE with the special tokens of every model that is served."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = list(dict.fromkeys(token for model in MODELS.values() for token in model.special_tokens))
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    library = Path(sysconfig.get_paths()["stdlib"])
    tokenizer.train([str(path) for path in sorted(library.glob("*.py"))[:12]], trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="session")
def start_server(tokenizer_file: Path) -> Iterator[Callable[..., Server]]:
    """Starts simulated servers on free ports, each once; ends them with SIGTERM and expects them to obey."""
    processes: list[subprocess.Popen[str]] = []

    def start(**settings: Any) -> Server:
        given = {"model": MODEL, "port": 0, "window": WINDOW, "tokenizer": str(tokenizer_file), **settings}
        process = subprocess.Popen([sys.executable, "-c", _SERVE, json.dumps(given)], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+:\d+", line)
        assert found, f"no address in {line!r}"
        return Server(found.group(), MODEL, settings.get("api_key"))

    yield start
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=10) == 0


@pytest.fixture(scope="session")
def provide_server(start_server: Callable[..., Server]) -> Callable[..., Server]:
    """A server of one kind: a simulated one, or one that already runs.

    To test servers that already run, set YARDSTICK_CONTRACT_URL, and YARDSTICK_CONTRACT_URL_TOOLS (with a tool parser),
    _OVERLOAD (--max-num-queued-reqs 2) and _KEYED (--api-key secret) where there are such.
    """

    def provide(kind: str, **settings: Any) -> Server:
        if "YARDSTICK_CONTRACT_URL" not in os.environ:
            return start_server(**settings)
        name = f"YARDSTICK_CONTRACT_URL{kind and '_' + kind}"
        if name not in os.environ:
            pytest.skip(f"{name} names no server")
        server = Server(os.environ[name], "", settings.get("api_key"))
        server.model = server.get("/v1/models").json["data"][0]["id"]
        return server

    return provide


@pytest.fixture(scope="session")
def server(provide_server: Callable[..., Server]) -> Server:
    return provide_server("", time_scale=0.3)


@pytest.fixture(scope="session")
def tools_server(provide_server: Callable[..., Server]) -> Server:
    return provide_server("TOOLS", time_scale=0.05, tool_parser=True)


@pytest.fixture(scope="session")
def overload_server(provide_server: Callable[..., Server]) -> Server:
    return provide_server("OVERLOAD", max_num_queued_reqs=2)


@pytest.fixture(scope="session")
def keyed_server(provide_server: Callable[..., Server]) -> Server:
    return provide_server("KEYED", time_scale=0.05, api_key="secret")


@dataclass
class ManualClock:
    """A clock that stands still until a test moves it. ``sleep`` returns when its time has come."""

    time: float = 0.0
    sleepers: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_700_000_000.0 + self.time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        await self._due(self.time + seconds)

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.Future[None]:
        """Called by the way of the event loop, like a timer."""
        timer = self._due(when)
        timer.add_done_callback(lambda timer: None if timer.cancelled() else callback())
        return timer

    def _due(self, when: float) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (when, next(self._numbers), future))
        return future

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers one by one in the order of their times."""
        end = self.time + seconds
        await self.settle()
        while self.sleepers and self.sleepers[0][0] <= end + 1e-9:
            due, _, future = heapq.heappop(self.sleepers)
            self.time = max(self.time, due)
            if not future.done():
                future.set_result(None)
            await self.settle()
        self.time = end

    async def settle(self) -> None:
        """Let every task run until it waits for time or for something outside."""
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
