"""A real Prometheus that scrapes a real gateway and simulated model servers under load, as `yardstick observe` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.demo.client import Answer
from gateway.demo.observe.engines import engine
from gateway.demo.observe.look import Found, Look
from gateway.demo.observe.panels import Dashboard
from gateway.demo.observe.prometheus import Prometheus
from gateway.demo.observe.system import System
from gateway.demo.observe.traffic import Traffic
from gateway.demo.observe.workload import Ask, Workload
from gateway.demo.processes import Children
from gateway.demo.scoreboard import STORE
from gateway.shadow.store import open_store
from tests.fakes.started import free_port, until
from tests.gateway.shadow.report.planted import world

_SETTLED, _LOADED = 60.0, 180.0
ROUNDS, AT_ONCE = 3, 6
"""Of the measured load: how often all of it is sent, and how many requests at once."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One answer by the client's clock, in seconds. ``tokens``: the prompt's length as the gateway told it.

    ``first_chunk`` and ``per_chunk`` are of streams, the latter of those with two chunks and more; else None.
    """

    model: str
    tokens: int
    first_chunk: float | None
    whole: float
    per_chunk: float | None
    prompt_tokens: int
    output_tokens: int


@dataclass
class Observed:
    """``measured`` were sent, and answered, between ``calm_before`` and ``calm_after``, when nothing else was.

    ``end``: when all the rest had happened, too. Times are Prometheus', in seconds since 1970.
    """

    prometheus: Prometheus
    dashboards: list[Dashboard]
    measured: list[Measured] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    calm_before: float = 0.0
    calm_after: float = 0.0
    end: float = 0.0

    def values(self, dashboard: Dashboard, rate_seconds: int, range_seconds: int = 60) -> dict[str, str]:
        built_in = {"__rate_interval": f"{rate_seconds}s", "__interval": "1s", "__range": f"{range_seconds}s"}
        return dashboard.values(self.prometheus.label_values, built_in)


@contextmanager
def observed(folder: Path, binary: Path, shown: list[Dashboard], rules: Path) -> Iterator[Observed]:
    """When it is entered all load is over; Prometheus can still be asked.

    The store has evidence of before, since pass@1 with both intervals needs more answers than this load gives.
    """
    with open_store(f"sqlite:///{folder / STORE}") as store:
        world(store)
    servers = engine()
    with Children(folder, {"TMPDIR": str(folder)}) as children:
        system = System(children, servers, (free_port(), free_port()), binary=binary, rules=rules)
        system.start(lambda line: None)
        found = Observed(system.prometheus, shown)
        workload = Workload(next(iter(servers.tokenizers.values())))
        _measure(found, system, workload)
        _load(found, system, workload, children)
        yield found


def _measure(found: Observed, system: System, workload: Workload) -> None:
    """Each kind of request once, so that all series are there, and then what is measured, with calm around it."""
    first = Traffic(system.servers.gateway)
    first.send_all(workload.clean(), AT_ONCE)
    found.calm_before = _calm(found.prometheus, first.answers.total())

    def heard(ask: Ask, answer: Answer) -> None:
        assert answer.status == 200, (ask.kind, answer)
        assert not answer.problem, (ask.kind, answer.problem)
        found.measured.append(_measured(answer))

    second = Traffic(system.servers.gateway, heard)
    second.send_all([ask for _ in range(ROUNDS) for ask in workload.clean()], AT_ONCE)
    found.calm_after = _calm(found.prometheus, first.answers.total() + second.answers.total())


def _calm(prometheus: Prometheus, requests: int) -> float:
    """Once all requests have been scraped, and two scrapes more: the time by Prometheus' clock."""

    def scraped() -> float:
        return sum(series.samples[0][1] for series in prometheus.query("sum(yardstick_requests_total)"))

    assert until(lambda: scraped() == requests, _SETTLED), f"{scraped()} of {requests} requests are in the metrics"
    now = prometheus.now()
    last = 'timestamp(up{job="yardstick"})'
    assert until(lambda: prometheus.query(last)[0].samples[0][1] > now + 1, _SETTLED), "Prometheus scrapes no more"
    return prometheus.now()


def _measured(answer: Answer) -> Measured:
    first, last, per_chunk = answer.first_token, answer.last_token, None
    if first is not None and last is not None and answer.chunks > 1:
        per_chunk = (last - first) / (answer.chunks - 1)
    tokens = int(answer.headers["x-yardstick-prompt-tokens"])
    usage = int(answer.usage["prompt_tokens"]), int(answer.usage["completion_tokens"])
    return Measured(answer.headers["x-yardstick-model"], tokens, first, answer.total, per_chunk, *usage)


def _load(found: Observed, system: System, workload: Workload, children: Children) -> None:
    """All the rest, mistakes and troubles too, until every query has answered, or until it is too late."""
    look = Look(found.prometheus, found.dashboards)

    def answered() -> bool:
        children.require_alive()
        found.found = look.once_more()
        return not any(each.complaint for each in found.found)

    with Traffic(system.servers.gateway).flowing(workload, system.trouble()):
        until(answered, _LOADED)
        found.end = found.prometheus.now()
