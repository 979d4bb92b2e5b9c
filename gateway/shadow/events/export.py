"""Events by OTLP: sent in batches by a thread of the SDK's, counted by what the receiver said.

Imports OpenTelemetry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult

from gateway.shadow.events.evaluation import Attributes
from gateway.telemetry import event_names as names
from gateway.telemetry.otlp import GRPC, MOST_WAITING, Deliveries, resource

_PATIENCE = 5.0  # seconds for what is left at the end
_SERVICE = "yardstick-shadow"


def exporter(protocol: str) -> LogRecordExporter:
    """Raises what the SDK does for variables that it can't use."""
    if protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter

    return HttpExporter()


class ExportedEvents:
    """See `Events`. `tell` is told of the first loss, and at the end of how many there were."""

    def __init__(
        self, exporter: LogRecordExporter, tell: Callable[[str], None], *, patience: float = _PATIENCE
    ) -> None:
        self._exporter = exporter
        self._deliveries = Deliveries("events of verdicts", "Scoring", tell, patience)
        self._provider = LoggerProvider(resource(_SERVICE), shutdown_on_exit=False)
        counting = _Counting(exporter, self._deliveries)
        self._provider.add_log_record_processor(BatchLogRecordProcessor(counting, max_queue_size=MOST_WAITING))
        self._logger = self._provider.get_logger("yardstick.shadow", schema_url=names.CONVENTIONS)

    @property
    def counted(self) -> Mapping[str, int]:
        return self._deliveries.counted

    def emit(self, attributes: Attributes) -> None:
        if not self._deliveries.take():
            return
        try:
            self._logger.emit(
                timestamp=time.time_ns(),
                severity_number=SeverityNumber.INFO,
                event_name=names.EVALUATION_RESULT,
                attributes=attributes,
            )
        except Exception:  # a fault in there costs an event, and no verdict
            self._deliveries.settled(1, delivered=False)

    def close(self) -> None:
        self._deliveries.close(self._provider.shutdown, self._exporter.shutdown)


class _Counting(LogRecordExporter):
    """Says of each batch whether the receiver took it."""

    def __init__(self, exporter: LogRecordExporter, deliveries: Deliveries) -> None:
        self._exporter, self._deliveries = exporter, deliveries

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        try:
            result = self._exporter.export(batch)
        except Exception:
            result = LogRecordExportResult.FAILURE
        self._deliveries.settled(len(batch), delivered=result is LogRecordExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
