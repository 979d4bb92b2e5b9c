"""Metrics of what is: read when they are scraped, from the objects that hold the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client.core import Metric

from gateway.clock import Clock
from gateway.telemetry import names
from gateway.telemetry.log import LineLog
from gateway.telemetry.samples import plain, single
from gateway.telemetry.totals import Totals
from routing.health import Health


class EndpointState(Protocol):
    address: str
    up: bool
    in_flight: int
    ejections: int
    probes_up: int
    probes_down: int
    health: Health


class States:
    """Of the endpoints, by their model, and of the process."""

    def __init__(
        self,
        endpoints: Callable[[], Iterable[tuple[str, EndpointState]]],
        connections: Callable[[], int],
        clock: Clock,
        log: LineLog | None,
    ) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._connections = connections
        self._log = log

    def collect(self) -> Iterable[Metric]:
        now = self._clock.now
        states = [((model, endpoint.address), endpoint) for model, endpoint in self._endpoints()]
        yield plain(names.IN_FLIGHT, ((labels, state.in_flight) for labels, state in states))
        yield plain(names.ENDPOINT_UP, ((labels, state.up) for labels, state in states))
        yield plain(names.ENDPOINT_EJECTED, ((labels, state.health.ejected_until > now) for labels, state in states))
        yield plain(names.EJECTIONS, ((labels, state.ejections) for labels, state in states))
        probes = [((*labels, "up"), state.probes_up) for labels, state in states]
        yield plain(names.PROBES, probes + [((*labels, "down"), state.probes_down) for labels, state in states])
        yield single(names.OPEN_CONNECTIONS, self._connections())
        yield single(names.LOG_LINES_DROPPED, self._log.dropped if self._log is not None else 0)


class TapState(Protocol):
    sampled: Counter[str]
    dropped: Counter[str]


class TapTotals:
    """What shadow-eval's tap has taken and lost since the start."""

    def __init__(self, tap: TapState, totals: Totals) -> None:
        self._tap, self._totals = tap, totals

    def collect(self) -> Iterable[Metric]:
        yield plain(names.SHADOW_REQUESTS, self._totals.shadow_requests.items())
        for name, counts in ((names.SHADOW_SAMPLED, self._tap.sampled), (names.SHADOW_DROPPED, self._tap.dropped)):
            yield plain(name, (((label,), count) for label, count in counts.items()))


class ConfigState:
    """Which configuration is served by, and what became of changed ones since the start."""

    def __init__(self, fingerprint: Callable[[], str], threshold: Callable[[], int]) -> None:
        self._fingerprint = fingerprint
        self._threshold = threshold
        self.reloads = {"applied": 0, "refused": 0}

    def collect(self) -> Iterable[Metric]:
        yield plain(names.CONFIG_RELOADS, (((outcome,), count) for outcome, count in self.reloads.items()))
        yield plain(names.CONFIG_IN_USE, [((self._fingerprint(),), 1.0)])
        yield single(names.THRESHOLD, self._threshold())
