"""What the demo starts: model servers and the gateway in front of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

import yaml

from gateway.demo.client import Client
from gateway.demo.engine import ALIAS, HOST, Engine, ModelServer
from gateway.demo.processes import Child, Children

_LOOK_SECONDS = 0.05

Say = Callable[[str], None]


class Servers:
    """The model servers and the gateway. ``addresses``: where each server is, as host:port, by its log's name."""

    def __init__(
        self, children: Children, engine: Engine, port: int, *, settings: Mapping[str, object] | None = None
    ) -> None:
        """``settings``: more sections of the gateway's configuration."""
        self.gateway = Client(HOST, port)
        self.addresses: dict[str, str] = {}
        self._children = children
        self._engine = engine
        self._port = port
        self._settings = settings or {}

    def by_model(self) -> dict[str, list[str]]:
        """Where each model is served."""
        found: dict[str, list[str]] = {}
        for server in self._engine.servers:
            found.setdefault(server.model, []).append(self.addresses[server.log_name])
        return found

    def start(self, say: Say) -> None:
        """Returns when the gateway and all model servers are ready. Raises Died, or TimeoutError."""
        engine = self._engine
        deadline = time.monotonic() + engine.start_seconds
        say(f"starting {engine.words.servers}")
        children = {server: self._start(server) for server in engine.servers}
        shown = ""

        def are_ready() -> bool:
            nonlocal shown
            now = "; ".join(filter(None, (_stage(server, child) for server, child in children.items())))
            if now not in ("", shown):
                say(now)
                shown = now
            self.addresses = {
                server.log_name: address for server, child in children.items() if (address := _address(server, child))
            }
            return len(self.addresses) == len(children)

        self._wait(are_ready, "the model servers are not ready", deadline)
        config = self._children.folder / "yardstick.yaml"
        config.write_text(yaml.safe_dump(self._config(), sort_keys=False), "utf-8")
        say("starting the gateway")
        self._children.start("gateway", ["serve", "--config", str(config)])
        self._wait(self.gateway.is_ready, "the gateway is not ready", deadline)

    def _start(self, server: ModelServer) -> Child:
        return self._children.start(server.log_name, list(server.arguments))

    def _config(self) -> dict[str, object]:
        pools = [
            {
                "model": model,
                "endpoints": [{"url": f"http://{address}"} for address in addresses],
                "tokenizer": str(self._engine.tokenizers[model]),
            }
            for model, addresses in self.by_model().items()
        ]
        return {
            "host": HOST,
            "port": self._port,
            "pools": pools,
            "aliases": {ALIAS: "auto"},
            "routing": {"threshold": self._engine.lengths.threshold},
            "drain": {"delay": 0},  # no load balancer has to look elsewhere first
            **self._settings,
        }

    def _wait(self, condition: Callable[[], bool], complaint: str, deadline: float) -> None:
        while not condition():
            self._children.require_alive()
            if time.monotonic() > deadline:
                seconds = self._engine.start_seconds
                raise TimeoutError(f"{complaint} after {seconds:.0f} s; logs: {self._children.folder}")
            time.sleep(_LOOK_SECONDS)


def _address(server: ModelServer, child: Child) -> str | None:
    """From the line that says where it serves; None before there is one."""
    found = re.search(rf"{server.ready}(\d+)", child.text())
    return f"{HOST}:{found[1]}" if found else None


def _stage(server: ModelServer, child: Child) -> str | None:
    """The last line in which a server that takes long to start says what it is doing."""
    found = re.findall(rf"^{re.escape(server.model)}(?:: .+| is ready)", child.text(), re.MULTILINE)
    return found[-1] if found else None
