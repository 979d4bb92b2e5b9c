"""What `observe` starts: model servers, the gateway with shadow-eval, and a Prometheus that scrapes them all."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml

from gateway.demo.engine import HOST, LONG, SHORT, Engine
from gateway.demo.observe import engines
from gateway.demo.observe.prometheus import Prometheus, command, configuration, rule_files
from gateway.demo.processes import Children
from gateway.demo.scoreboard import settings
from gateway.demo.servers import Say, Servers
from gateway.families import MODELS
from gateway.ports import PortUnavailable, ensure_free

_LOOK_SECONDS = 0.05
_PROMETHEUS_SECONDS = 60.0
CANARIES_PER_HOUR = 10_000
"""As many as a plan may ask for: pass@1 needs scored answers before it says anything."""


class System:
    """``servers`` and ``prometheus`` can be used once `start` has returned."""

    def __init__(
        self,
        children: Children,
        engine: Engine,
        ports: tuple[int, int],
        *,
        binary: Path,
        rules: Path,
        per_hour: int = CANARIES_PER_HOUR,
        more: Mapping[str, object] | None = None,
    ) -> None:
        """``ports``: the gateway's and Prometheus'. ``binary``: of Prometheus. ``rules``: a folder, or none there.

        ``per_hour``: canary tasks. ``more``: sections of the gateway's configuration.
        """
        self._children = children
        self.port, self._prometheus_port = ports
        self._binary = binary
        self._rules = rules
        sections: Mapping[str, object] = {
            "shadow": settings(children.folder, per_hour) | {"gate": str(_policy(children.folder))},
            "probes": {"period": 1.0},  # what is seen in a plot of some minutes
            "routing": {"threshold": engine.lengths.threshold, "fallback": "busy"},
            **(more or {}),
        }
        self.servers = Servers(children, engine, self.port, settings=sections)
        self.prometheus = Prometheus(f"http://{HOST}:{self._prometheus_port}")

    def start(self, say: Say) -> None:
        """Returns when all is ready. Raises Died, or TimeoutError."""
        self.servers.start(say)
        say("starting Prometheus")
        folder = self._children.folder
        config = folder / "prometheus.yml"
        addresses = list(self.servers.addresses.values())
        data = configuration(f"{HOST}:{self.port}", addresses, rule_files(self._rules))
        config.write_text(yaml.safe_dump(data, sort_keys=False), "utf-8")
        self._children.start_command("prometheus-server", command(self._binary, config, self._prometheus_port))
        deadline = time.monotonic() + _PROMETHEUS_SECONDS
        while not self.prometheus.is_ready():
            self._children.require_alive()
            if time.monotonic() > deadline:
                raise TimeoutError(f"Prometheus is not ready after {_PROMETHEUS_SECONDS:.0f} s; logs: {folder}")
            time.sleep(_LOOK_SECONDS)

    def trouble(self) -> Iterator[Callable[[], None]]:
        """What befalls one of the model servers from time to time, without end."""
        small = self.servers.addresses[engines.SMALL]
        return itertools.cycle((lambda: engines.break_answers(small), _nothing, lambda: engines.be_unwell(small)))


def port(wanted: int | None, usual: int) -> int:
    """``wanted``, which has to be free (0: any); or, if None, the usual one or a free one. Raises PortUnavailable."""
    if wanted:
        ensure_free(HOST, wanted)
        return wanted
    if wanted is None:
        try:
            ensure_free(HOST, usual)
        except PortUnavailable:
            pass
        else:
            return usual
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _policy(folder: Path) -> Path:
    """Of the gate: may the short model have prompts of these lengths?"""
    first, second = ({"family": MODELS[model].family, "model": model} for model in (SHORT, LONG))
    buckets = [{"up_to": 2_048, "weight": 0.5}, {"up_to": MODELS[SHORT].pool_window, "weight": 0.5}]
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump({"first": first, "second": second, "delta": 0.05, "buckets": buckets}), "utf-8")
    return file


def _nothing() -> None:
    pass
