"""What the demo starts: two simulated model servers and the gateway in front of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from gateway.demo.client import Client
from gateway.demo.processes import Child, Children, Died
from gateway.families import MODELS

SHORT, LONG = "codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct"
ALIAS = "gpt-4o"
HOST = "127.0.0.1"
TIME_SCALE = 0.25
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_address = re.compile(rf"http://{re.escape(HOST)}:(\d+)").search


@dataclass(frozen=True, slots=True)
class SimulatedServer:
    """``preset``: the model and machine for which its speed is computed."""

    model: str
    log_name: str
    preset: str

    def arguments(self, tokenizer: Path) -> list[str]:
        options = {
            "--model": self.model,
            "--port": "0",
            "--tokenizer": str(tokenizer),
            "--preset": self.preset,
            "--max-model-len": str(MODELS[self.model].pool_window),
            "--time-scale": str(TIME_SCALE),
        }
        return ["engine", "simulate", *(word for pair in options.items() for word in pair)]


SERVERS = (
    SimulatedServer(SHORT, "codegeex", "codegeex4-9b-h100"),
    SimulatedServer(LONG, "loop", "iquest-40b-loop-tp4-h100"),
)


class Servers:
    """The three processes. ``addresses`` says for each model where it is served, as host:port."""

    def __init__(self, children: Children, tokenizer: Path, port: int) -> None:
        self.gateway = Client(HOST, port)
        self.addresses: dict[str, str] = {}
        self._children = children
        self._tokenizer = tokenizer
        self._port = port

    def start(self, say: Callable[[str], None]) -> None:
        """Returns when the gateway and both model servers are ready. Raises Died, or TimeoutError."""
        deadline = time.monotonic() + _START_SECONDS
        say("starting two simulated model servers")
        started = [
            (server, self._children.start(server.log_name, server.arguments(self._tokenizer))) for server in SERVERS
        ]
        for server, child in started:
            self.addresses[server.model] = f"{HOST}:{self._port_of(child, deadline)}"
        config = self._children.folder / "yardstick.yaml"
        config.write_text(yaml.safe_dump(self._config(), sort_keys=False), "utf-8")
        say("starting the gateway")
        self._children.start("gateway", ["serve", "--config", str(config)])
        self._wait(self.gateway.is_ready, "the gateway is not ready", deadline)

    def _config(self) -> dict[str, object]:
        pools = [
            {"model": model, "endpoints": [{"url": f"http://{address}"}], "tokenizer": str(self._tokenizer)}
            for model, address in self.addresses.items()
        ]
        return {"host": HOST, "port": self._port, "pools": pools, "aliases": {ALIAS: "auto"}}

    def _port_of(self, child: Child, deadline: float) -> int:
        """The free port that a model server took: it is in the line that it starts with."""
        self._wait(
            lambda: _address(child.text()) is not None, f"{child.name} does not start (see {child.log})", deadline
        )
        found = _address(child.text())
        if found is None:
            raise Died(f"{child.name} names no address: {child.text()}")
        return int(found[1])

    def _wait(self, condition: Callable[[], bool], complaint: str, deadline: float) -> None:
        while not condition():
            self._children.require_alive()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{complaint} after {_START_SECONDS:.0f} s; logs: {self._children.folder}")
            time.sleep(_LOOK_SECONDS)
