"""What became of traces, as metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric

from gateway.telemetry import names
from gateway.telemetry.otlp import LOST, SENT
from gateway.telemetry.samples import plain
from gateway.telemetry.traces.keep import OUTCOMES, Traces


class TraceTotals:
    """Counted since the start; zeros where nobody wants any."""

    def __init__(self, traces: Traces | None) -> None:
        self._traces = traces

    def collect(self) -> Iterable[Metric]:
        traces = self._traces
        kept = {outcome: traces.outcomes[outcome] if traces is not None else 0 for outcome in OUTCOMES}
        yield plain(names.TRACES, (((outcome,), count) for outcome, count in kept.items()))
        spans = traces.sink.counted if traces is not None else {SENT: 0, LOST: 0}
        yield plain(names.SPANS, (((outcome,), count) for outcome, count in spans.items()))
