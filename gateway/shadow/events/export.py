"""Events by OTLP: sent in batches by a thread of the SDK's, counted by what the receiver said. Imports OpenTelemetry.

The SDK tells nobody what it lost: its batch processor drops the oldest of a full queue, ignores that an export failed,
and says so of none of them when it is flushed. So what waits is bounded here, before the queue, and exports are counted
where they return.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from gateway.shadow.events.configured import GRPC
from gateway.shadow.events.evaluation import Attributes
from gateway.telemetry import event_names as names

SENT, LOST = "sent", "lost"
_MOST_WAITING = 2_048
_PATIENCE = 5.0  # seconds for what is left at the end
_UNNAMED = "unknown_service"
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
        # Without a handler Python prints the SDK's warnings, one for every attempt of every batch.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        self._exporter, self._tell, self._patience = exporter, tell, patience
        self._lock = threading.Lock()
        self._counted = {SENT: 0, LOST: 0}
        self._waiting = 0
        self._closed = self._told = False
        self._provider = LoggerProvider(_resource(), shutdown_on_exit=False)
        counting = _Counting(exporter, self._settled)
        self._provider.add_log_record_processor(BatchLogRecordProcessor(counting, max_queue_size=_MOST_WAITING))
        self._logger = self._provider.get_logger("yardstick.shadow", schema_url=names.CONVENTIONS)

    @property
    def counted(self) -> Mapping[str, int]:
        with self._lock:
            return dict(self._counted)

    def emit(self, attributes: Attributes) -> None:
        with self._lock:
            full = self._closed or self._waiting >= _MOST_WAITING
            self._waiting += not full
        if full:
            self._lose(1)
            return
        try:
            self._logger.emit(
                timestamp=time.time_ns(),
                severity_number=SeverityNumber.INFO,
                event_name=names.EVALUATION_RESULT,
                attributes=attributes,
            )
        except Exception:  # a fault in there costs an event, and no verdict
            self._settled(1, delivered=False)

    def close(self) -> None:
        ending = threading.Thread(target=self._provider.shutdown, name="last events", daemon=True)
        ending.start()
        ending.join(self._patience)
        with self._lock:
            self._closed = True
            left, self._waiting = self._waiting, 0
        self._lose(left)
        if ending.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # ends what it still tries
        counted = self.counted
        if counted[LOST]:
            self._tell(f"OpenTelemetry: of {sum(counted.values()):,} events of verdicts {counted[LOST]:,} were lost")

    def _settled(self, count: int, *, delivered: bool) -> None:
        with self._lock:
            if self._closed:  # counted as lost by then
                return
            self._waiting -= count
            self._counted[SENT] += count * delivered
        self._lose(0 if delivered else count)

    def _lose(self, count: int) -> None:
        with self._lock:
            self._counted[LOST] += count
            first = count > 0 and not self._told
            self._told = self._told or first
        if first:
            self._tell("OpenTelemetry: events of verdicts can't be sent. Scoring goes on; what is lost is counted")


class _Counting(LogRecordExporter):
    """Says of each batch whether the receiver took it."""

    def __init__(self, exporter: LogRecordExporter, settled: Callable[..., None]) -> None:
        self._exporter, self._settled = exporter, settled

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        try:
            result = self._exporter.export(batch)
        except Exception:
            result = LogRecordExportResult.FAILURE
        self._settled(len(batch), delivered=result is LogRecordExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _resource() -> Resource:
    """With the name of this service, unless the environment has one."""
    found = Resource.create()
    named = str(found.attributes.get(SERVICE_NAME, _UNNAMED))
    return found.merge(Resource({SERVICE_NAME: _SERVICE})) if named.startswith(_UNNAMED) else found
