"""What became of traces, as metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, Metric

from gateway.telemetry import names
from gateway.telemetry.otlp import LOST, SENT
from gateway.telemetry.traces.keep import OUTCOMES, Traces


class TraceTotals:
    """Counted since the start; zeros where nobody wants any."""

    def __init__(self, traces: Traces | None) -> None:
        self._traces = traces

    def collect(self) -> Iterable[Metric]:
        traces = self._traces
        name = names.TRACES
        kept = CounterMetricFamily(name.name, name.help, labels=name.labels)
        for outcome in OUTCOMES:
            kept.add_metric([outcome], traces.outcomes[outcome] if traces is not None else 0)
        yield kept
        name = names.SPANS
        spans = CounterMetricFamily(name.name, name.help, labels=name.labels)
        for outcome, count in (traces.sink.counted if traces is not None else {SENT: 0, LOST: 0}).items():
            spans.add_metric([outcome], count)
        yield spans
