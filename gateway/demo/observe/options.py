"""What `yardstick observe` may be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GATEWAY_PORT, PROMETHEUS_PORT = 8080, 9090


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``port``, ``prometheus_port``: None is the usual one, or a free one where that is taken.

    ``dashboards``: a folder of Grafana's JSON; ``rules``: one of Prometheus' rules, which need not exist.
    """

    once: bool = False
    as_json: bool = False
    port: int | None = None
    prometheus_port: int | None = None
    prometheus: str | None = None
    dashboards: Path
    rules: Path
