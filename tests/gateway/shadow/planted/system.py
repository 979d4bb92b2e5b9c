"""All of it as processes on free ports: two simulated model servers, a gateway with shadow-eval beside it, workers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from gateway.demo.tokenizer import cached_tokenizer
from gateway.engines.simulated.presets import PRESETS
from gateway.engines.simulated.tasks import Task, TaskBook, TaskSettings
from gateway.families import MODELS
from gateway.shadow.store import StoreUnavailable, open_store
from gateway.shadow.suites.load import load
from tests.fakes.gateway import LONG, SHORT
from tests.fakes.started import until

FIVE = load("five")
CATEGORY = {task.task_id: task.groups[0] for task in FIVE.tasks.values()}
FAST = 0.001
"""Real seconds for a simulated one: nothing here asks how long an answer takes."""

_START, _END = 90.0, 60.0
_DAILY = 1_000_000_000


class Died(AssertionError):
    """A process ended by itself; the message has its last lines."""


class Process:
    """`yardstick ARGUMENTS` in a session of its own; what it says is in `log`."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def says(self, pattern: str) -> str:
        """The first group of the pattern, once it is said."""
        found = list[str]()

        def look() -> bool:
            self.require_alive()
            match = re.search(pattern, self.text)
            found[:] = [match[1]] if match else []
            return bool(found)

        if not until(look, _START):
            raise Died(f"{self.name} did not say {pattern}, only:\n{self.text}")
        return found[0]

    @property
    def text(self) -> str:
        return self.log.read_text("utf-8", errors="replace")

    def require_alive(self) -> None:
        if (code := self._process.poll()) is not None:
            raise Died(f"{self.name} ended with {code}:\n{self.text[-3000:]}")

    def end(self) -> int:
        """Asked to end, and waited for: its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_END)
        finally:
            self.kill()

    def kill(self) -> None:
        """With what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@dataclass(frozen=True)
class Planted:
    """What one simulated server is to solve. `rates`: by category, each task's drawn from Beta with `concentration`;
    or `by_task`. `length_factors`: see `TaskSettings`."""

    seed: int
    rates: Mapping[str, float] = field(default_factory=dict)
    concentration: float = 2.0
    by_task: Mapping[str, float] | None = None
    length_factors: Mapping[int, float] = field(default_factory=dict)

    def options(self, file: Path) -> Iterator[str]:
        file.write_text("".join(json.dumps(row) + "\n" for row in self._rows()), encoding="utf-8")
        yield from ("--seed", str(self.seed), "--tasks", str(file))
        yield from ("--difficulty-concentration", str(self.concentration))
        for name, rate in self.rates.items():
            yield from ("--pass-rate", f"{name}={rate}")
        for tokens, share in self.length_factors.items():
            yield from ("--length-factor", f"{tokens}={share}")

    def book(self, model: str) -> TaskBook:
        """What the server draws its answers from: the same seed draws the same."""
        settings = TaskSettings(
            file=Path("unread"),
            category_pass_rates=dict(self.rates),
            concentration=self.concentration,
            length_factors=dict(self.length_factors),
        )
        return TaskBook(map(Task.model_validate, self._rows()), settings, seed=self.seed, model=model)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for name, task in FIVE.tasks.items():
            own = {} if self.by_task is None else {"pass_rate": self.by_task[name]}
            yield asdict(task) | {"category": task.groups[0]} | own


@dataclass
class System:
    """`rates`: of each model's tasks, as its server tells them (GET /sim/tasks)."""

    store: str
    environment: dict[str, str]
    gateway: Process
    port: int
    workers: list[Process]
    rates: dict[str, dict[str, float]]

    def require_alive(self) -> None:
        for each in (self.gateway, *self.workers):
            each.require_alive()

    def wait(self, condition: Callable[[], bool], seconds: float) -> None:
        """Looks twice a second."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.require_alive()
            assert time.monotonic() < deadline, f"not in {seconds:g} s:\n{self.gateway.text[-3000:]}"
            time.sleep(0.5)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`yardstick ARGUMENTS`, on this store."""
        return command(*arguments, "--store", self.store, environment=self.environment)


def command(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`yardstick ARGUMENTS`, to its end."""
    line = [sys.executable, "-m", "gateway", *arguments]
    own = {**os.environ, **(environment or {})}
    return subprocess.run(line, capture_output=True, text=True, timeout=600, env=own, check=False)


@contextlib.contextmanager
def system(
    folder: Path,
    planted: Mapping[str, Planted],
    shadow: Mapping[str, Any],
    *,
    store: str | None = None,
    workers: int = 1,
    slots: int = 1,
) -> Iterator[System]:
    """Until the scope ends. `shadow`: settings beside `store` and `scorers: 0`; workers score, with `slots` each."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"XDG_DATA_HOME": str(folder / "data")}
    url = store or f"sqlite:///{folder / 'shadow.db'}"
    with contextlib.ExitStack() as stack:

        def start(name: str, *arguments: str) -> Process:
            process = Process(name, arguments, folder, environment)
            stack.callback(process.kill)
            return process

        servers = {model: start(*_server(model, own, folder)) for model, own in planted.items()}
        ports = {model: int(server.says(r"http://127\.0\.0\.1:(\d+)")) for model, server in servers.items()}
        config = _config(folder, ports, {"store": url, "scorers": 0, "most_per_second": 1000, **shadow})
        gateway = start("gateway", "serve", "--config", str(config))
        port = int(gateway.says(r"yardstick .* on http://127\.0\.0\.1:(\d+)"))
        # It says where it will listen a moment before it does, and workers make no store.
        assert until(lambda: _accepts(port) and _opens(url), _START), gateway.text
        keeping = ("--keep-samples", "3650", "--keep-unscored", "3650")
        scoring = ("shadow", "worker", "--store", url, "--workers", str(slots), "--json", *keeping)
        crew = [start(f"worker-{number}", *scoring) for number in range(workers)]
        rates = {model: rates_of(port) for model, port in ports.items()}
        yield System(url, environment, gateway, port, crew, rates)


def canaries(seed: int, **settings: Any) -> dict[str, Any]:
    """Of the suite five, to both families, as fast as a plan may ask for."""
    first, second = (
        {"family": MODELS[model].family, "model": model, "daily_tokens": _DAILY} for model in (SHORT, LONG)
    )
    plan = {"enabled": True, "rate": {"per_hour": 10_000}, "seed": seed, "first": first, "second": second}
    return {"canary": plan | settings}


def rates_of(port: int) -> dict[str, float]:
    with urlopen(f"http://127.0.0.1:{port}/sim/tasks", timeout=30) as response:
        return {row["task_id"]: row["solved_rate"] for row in json.load(response)["tasks"]}


def _server(model: str, planted: Planted, folder: Path) -> tuple[str, ...]:
    preset = {SHORT: "codegeex4-9b-h100", LONG: "iquest-40b-loop-tp4-h100"}[model]
    assert preset in PRESETS
    options = ("--port", "0", "--preset", preset, "--time-scale", str(FAST), "--tokenizer", str(cached_tokenizer()))
    own = planted.options(folder / f"tasks-{model}.jsonl")
    return f"server-{model}", "engine", "simulate", "--model", model, *options, *own


def _config(folder: Path, ports: Mapping[str, int], shadow: Mapping[str, Any]) -> Path:
    pools = [
        {"model": model, "endpoints": [{"url": f"http://127.0.0.1:{port}"}], "tokenizer": str(cached_tokenizer())}
        for model, port in ports.items()
    ]
    routing = {"short": SHORT, "long": LONG}
    data = {"port": 0, "access_log": False, "pools": pools, "routing": routing, "drain": {"delay": 0}, "shadow": shadow}
    path = folder / "yardstick.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), "utf-8")
    return path


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def _opens(url: str) -> bool:
    if url.startswith("sqlite") and not Path(url.removeprefix("sqlite:///")).exists():
        return False
    try:
        with open_store(url) as store:
            store.backlog()
    except StoreUnavailable:  # it is just being made
        return False
    return True
