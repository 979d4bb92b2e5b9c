"""A real Prometheus that scrapes a real gateway and simulated model servers under load, as `yardstick observe` does."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from gateway.demo.client import Answer
from gateway.demo.observe.engines import engine
from gateway.demo.observe.look import Found, Look
from gateway.demo.observe.panels import Dashboard, Query, filled
from gateway.demo.observe.prometheus import Prometheus
from gateway.demo.observe.system import System
from gateway.demo.observe.traffic import Traffic
from gateway.demo.observe.workload import Ask, Workload
from gateway.demo.processes import Children
from gateway.demo.scoreboard import STORE
from gateway.shadow.store import Store, open_store
from tests.fakes.otlp import HTTP, Received, receiver
from tests.fakes.started import free_port, until
from tests.gateway.shadow.report.planted import IDS, Planting, of

_SETTLED, _LOADED = 60.0, 180.0
_PER_SECOND = 6.0
_SHORT_WINDOW = 8
ROUNDS, AT_ONCE = 3, 4
"""Of the measured load: how often all of it is sent, and how many requests at once."""

_TRACED = {"traces": {"sample": 1.0, "per_second": 5}}
"""All requests are, but for some when many come at once."""
_REFUSED = 3
"""One batch of spans or events of so many."""
AT_REST = ("yardstick_log_lines_dropped_total",)
"""What stays 0 here: the log is read fast enough."""
_changes = re.compile(r"\b(rate|increase|irate|delta|histogram_quantile)\s*\(").search


@dataclass(frozen=True, slots=True)
class Measured:
    """One answer by the client's clock, in seconds, with the model server's own counts.

    ``first_chunk`` and ``per_chunk`` are of streams, the latter of those with two chunks and more; else None.
    """

    model: str
    first_chunk: float | None
    whole: float
    per_chunk: float | None
    prompt_tokens: int
    output_tokens: int


@dataclass
class Observed:
    """``measured`` were sent, and answered, between ``calm_before`` and ``calm_after``, when nothing else was: both are
    times of scrapes. ``end``: when all the rest had happened, too. Times are Prometheus', in seconds since 1970.
    ``received``: spans and events. ``unmoved``: queries that always answered the same, of those that can move.
    """

    prometheus: Prometheus
    dashboards: list[Dashboard]
    received: Received
    measured: list[Measured] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    unmoved: list[Query] = field(default_factory=list)
    calm_before: float = 0.0
    calm_after: float = 0.0
    end: float = 0.0

    def values(self, dashboard: Dashboard, rate_seconds: float) -> dict[str, str]:
        """Of its variables. ``rate_seconds``: the window of rates."""
        built_in = {"__rate_interval": f"{round(rate_seconds * 1e3)}ms", "__interval": "1s", "__range": "60s"}
        return dashboard.values(self.prometheus.label_values, built_in)


@contextmanager
def observed(folder: Path, binary: Path, shown: list[Dashboard], rules: Path) -> Iterator[Observed]:
    """When it is entered all load is over; Prometheus can still be asked.

    The store has evidence of before, since pass@1 with both intervals needs more answers than this load gives.
    """
    with open_store(f"sqlite:///{folder / STORE}") as store:
        _plant(store)
    servers = engine()
    with (
        receiver(HTTP) as received,
        Children(folder, {"TMPDIR": str(folder), **_sent_to(received)}) as children,
    ):
        system = System(children, servers, (free_port(), free_port()), binary=binary, rules=rules, more=_TRACED)
        system.start(lambda line: None)
        found = Observed(system.prometheus, shown, received)
        workload = Workload(next(iter(servers.tokenizers.values())))
        _measure(found, system, workload)
        _load(found, system, workload, children)
        yield found


def _sent_to(received: Received) -> dict[str, str]:
    """The variables with which a user names a receiver; this one does not take everything."""
    batches = itertools.count(1)
    received.on_request = lambda: next(batches) % _REFUSED != 0
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url, "OTEL_BSP_SCHEDULE_DELAY": "500"}


def _plant(store: Store) -> None:
    """Canary pairs: each task twice at each of two lengths."""
    random, planting = Random(7), Planting(store)
    for tokens in (1_000, 5_000):
        for task_id in IDS * 2:
            first, second = of(random.random() < 0.4), of(random.random() < 0.9)
            planting.pair(first, second, task_id=task_id, prompt_tokens=tokens)
    planting.done()


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
    """When all requests had been scraped: the time of a scrape after that, by Prometheus' clock."""

    def scraped() -> float:
        return sum(series.samples[0][1] for series in prometheus.query("sum(yardstick_requests_total)"))

    def last() -> float:
        return prometheus.query('timestamp(up{job="yardstick"})')[0].samples[0][1]

    assert until(lambda: scraped() == requests, _SETTLED), f"{scraped()} of {requests} requests are in the metrics"
    before = last()
    assert until(lambda: last() > before, _SETTLED), "Prometheus scrapes no more"
    return last()


def _measured(answer: Answer) -> Measured:
    first, last, per_chunk = answer.first_token, answer.last_token, None
    if first is not None and last is not None and answer.chunks > 1:
        per_chunk = (last - first) / (answer.chunks - 1)
    usage = int(answer.usage["prompt_tokens"]), int(answer.usage["completion_tokens"])
    return Measured(answer.headers["x-yardstick-model"], first, answer.total, per_chunk, *usage)


def _load(found: Observed, system: System, workload: Workload, children: Children) -> None:
    """All the rest, mistakes and troubles too, until every query has answered and what can move has moved.

    Or for as long as that may take: what is missing then is for the tests to say.
    """
    look = Look(found.prometheus, found.dashboards)

    def all_is_there() -> bool:
        children.require_alive()
        found.found = look.once_more()
        found.end = found.prometheus.now()
        if any(each.complaint for each in found.found):
            return False
        found.unmoved = [query for query in found.unmoved if not _has_moved(found, query)]
        return not found.unmoved

    found.unmoved = [query for dashboard in found.dashboards for query in dashboard.queries if can_move(query)]
    with Traffic(system.servers.gateway).flowing(workload, system.trouble(), _PER_SECOND):
        until(all_is_there, _LOADED)


def can_move(query: Query) -> bool:
    """Whether it is of something that is counted."""
    return bool(_changes(query.expression)) and not any(metric in query.expression for metric in AT_REST)


def _has_moved(found: Observed, query: Query) -> bool:
    """Since the load began, in windows of some seconds."""
    (dashboard,) = (each for each in found.dashboards if query in each.queries)
    expression = filled(query.expression, found.values(dashboard, _SHORT_WINDOW))
    series = found.prometheus.query_range(expression, found.calm_before, found.end)
    return any(len({value for _, value in each.samples}) > 1 for each in series)
