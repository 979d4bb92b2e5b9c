"""A Prometheus of our own: an installed binary, its data in a folder that goes away, asked over its HTTP API."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from gateway.config import environment
from gateway.demo.engine import HOST

VARIABLE = "YARDSTICK_PROMETHEUS"
GATEWAY_JOB, ENGINES_JOB = "yardstick", "vllm"
_TIMEOUT = 30.0


class NotInstalled(Exception):
    """There is no Prometheus; the message says what to do."""


class Refused(Exception):
    """Prometheus' own words on a query that it does not take."""


@dataclass(frozen=True, slots=True)
class Series:
    """``samples``: (seconds since 1970, value), in order."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]


def find_prometheus(named: str | None = None) -> Path:
    """``named``: a file or a name on PATH; else $YARDSTICK_PROMETHEUS, else `prometheus`. Raises NotInstalled."""
    wanted = named or environment(VARIABLE) or "prometheus"
    found = shutil.which(wanted)
    if found is None:
        raise NotInstalled(
            f"Prometheus is missing: no executable {wanted!r}. On Debian and Ubuntu: apt-get install -y prometheus"
            " (its service is not needed here). Elsewhere: unpack a release from https://prometheus.io/download/ and"
            f" name the file with --prometheus or {VARIABLE}"
        )
    return Path(found)


def configuration(
    gateway: str, engines: Sequence[str], rules: Sequence[Path] = (), *, scrape_seconds: int = 1
) -> dict[str, Any]:
    """Of Prometheus. Addresses are host:port; the dashboards tell the two jobs apart by their names."""
    every = f"{scrape_seconds}s"
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(file) for file in rules],
        "scrape_configs": [
            {"job_name": GATEWAY_JOB, "static_configs": [{"targets": [gateway]}]},
            {"job_name": ENGINES_JOB, "static_configs": [{"targets": list(engines)}]},
        ],
    }


def rule_files(folder: Path) -> list[Path]:
    """Those that Prometheus itself reads; the same rules may stand beside them as its operator's resource."""
    return sorted(file.resolve() for file in folder.glob("*.rules.y*ml"))


def command(binary: Path, config: Path, port: int) -> list[str]:
    """Its data goes to a folder beside ``config``."""
    flags = {
        "config.file": config,
        "storage.tsdb.path": config.parent / "prometheus",
        "web.listen-address": f"{HOST}:{port}",
        "storage.tsdb.retention.time": "1d",
        "log.level": "warn",
    }
    return [str(binary), *(f"--{name}={value}" for name, value in flags.items())]


class Prometheus:
    """``url`` without a slash at its end."""

    def __init__(self, url: str) -> None:
        self.url = url

    def is_ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=_TIMEOUT) as response:
                return bool(response.status == 200)
        except (URLError, ConnectionError, TimeoutError):
            return False

    def now(self) -> float:
        """By its own clock, in seconds since 1970."""
        (_, value) = self._ask("query", query="time()")["result"]
        return float(value)

    def query(self, expression: str, at: float | None = None) -> list[Series]:
        """As of ``at``, or now; one sample each. Raises Refused."""
        found = self._ask("query", query=expression, **({} if at is None else {"time": at}))
        if found["resultType"] == "scalar":
            return [_series({"metric": {}, "value": found["result"]})]
        return list(map(_series, found["result"]))

    def query_range(self, expression: str, start: float, end: float, step: float = 1.0) -> list[Series]:
        """Raises Refused."""
        found = self._ask("query_range", query=expression, start=start, end=end, step=step)
        return list(map(_series, found["result"]))

    def label_values(self, label: str, selector: str = "") -> list[str]:
        values: list[str] = self._ask(f"label/{label}/values", **({"match[]": selector} if selector else {}))
        return values

    def rules(self) -> Iterator[Mapping[str, Any]]:
        for group in self._ask("rules")["groups"]:
            yield from group["rules"]

    def targets(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._ask("targets")["activeTargets"]
        return found

    def _ask(self, what: str, **parameters: object) -> Any:
        request = Request(f"{self.url}/api/v1/{what}?{urlencode(parameters)}")
        try:
            with urlopen(request, timeout=_TIMEOUT) as response:
                return json.load(response)["data"]
        except HTTPError as error:
            with error:
                raise Refused(json.load(error).get("error", str(error))) from None


def _series(found: Mapping[str, Any]) -> Series:
    samples = found["values"] if "values" in found else [found["value"]]
    return Series(found["metric"], tuple((float(when), float(value)) for when, value in samples))
