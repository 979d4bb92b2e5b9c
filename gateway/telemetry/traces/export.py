"""Spans by OTLP: sent in batches by a thread of the SDK's, counted by what the receiver said. Imports OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from gateway.telemetry.otlp import GRPC, MOST_WAITING, Deliveries, resource
from gateway.telemetry.traces.keep import Ended, Trace
from gateway.telemetry.traces.spans import count_of, spans_of

_PATIENCE = 3.0  # seconds for what is left at the end
_SERVICE = "yardstick"


def exporter(protocol: str) -> SpanExporter:
    """Raises what the SDK does for variables that it can't use."""
    if protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter()


class ExportedSpans:
    """See `keep.Sink`. To be made in the process that serves: threads and connections do not outlive a fork."""

    def __init__(self, exporter: SpanExporter, tell: Callable[[str], None], *, patience: float = _PATIENCE) -> None:
        self._exporter = exporter
        self._deliveries = Deliveries("spans of requests", "Serving", tell, patience)
        self._resource = resource(_SERVICE)
        counting = _Counting(exporter, self._deliveries)
        self._processor = BatchSpanProcessor(counting, max_queue_size=MOST_WAITING)

    @property
    def counted(self) -> Mapping[str, int]:
        return self._deliveries.counted

    def put(self, trace: Trace, why: str, ended: Ended) -> bool:
        count = count_of(ended)
        if not self._deliveries.take(count):
            return False
        try:
            spans = spans_of(trace, why, ended, self._resource)
        except BaseException:
            self._deliveries.settled(count, delivered=False)
            raise
        for span in spans:
            self._processor.on_end(span)
        return True

    def close(self) -> None:
        self._deliveries.close(self._processor.shutdown, self._exporter.shutdown)


class _Counting(SpanExporter):
    """Says of each batch whether the receiver took it."""

    def __init__(self, exporter: SpanExporter, deliveries: Deliveries) -> None:
        self._exporter, self._deliveries = exporter, deliveries

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception:
            result = SpanExportResult.FAILURE
        self._deliveries.settled(len(spans), delivered=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
