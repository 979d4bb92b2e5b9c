"""One line every few seconds for runs without the web UI, in place of locust's tables (`--only-summary`)."""

from __future__ import annotations

import time
from typing import Any

import gevent
from locust import events
from locust.runners import WorkerRunner

from loadtests.people.statistics import ANSWER

_EVERY = 5.0


@events.test_start.add_listener
def start(environment: Any, **_: Any) -> None:
    if environment.web_ui is None and not isinstance(environment.runner, WorkerRunner):
        gevent.spawn(_tell, environment, time.monotonic())


def _tell(environment: Any, started: float) -> None:
    while environment.runner.state not in ("stopping", "stopped", "cleanup"):
        gevent.sleep(_EVERY)
        print(line(environment, time.monotonic() - started), flush=True)


def line(environment: Any, seconds: float) -> str:
    """Users, answers, failures, and each kind's TTFT up to now."""
    total, entries = environment.stats.total, environment.stats.entries
    firsts = [
        f"{name} {entry.get_response_time_percentile(0.5):,.0f}/{entry.get_response_time_percentile(0.95):,.0f}"
        for (name, kind), entry in sorted(entries.items())
        if kind == "TTFT" and entry.num_requests
    ]
    requests = sum(entry.num_requests for (_, kind), entry in entries.items() if kind == ANSWER)
    so_far = f"{environment.runner.user_count} users  {requests} requests  {total.num_failures} failed"
    return f"load: {seconds:4.0f} s  {so_far}  TTFT p50/p95 ms: {', '.join(firsts) or 'none yet'}"
