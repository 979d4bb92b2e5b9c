"""Where events go, by OpenTelemetry's own environment variables; nowhere unless they say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.shadow.events.evaluation import Attributes
from gateway.telemetry.otlp import Signal, protocol, quiet, wanted


class Events(Protocol):
    """All may be called in any thread."""

    @property
    def counted(self) -> Mapping[str, int]:
        """How many were `sent`, which is said when the receiver has them, and how many were `lost`."""

    def emit(self, attributes: Attributes) -> None:
        """Never waits and never raises: what can't be sent is lost, and counted."""

    def close(self) -> None:
        """Sends what is left, for some seconds at most; the rest is lost."""


def open_events(tell: Callable[[str], None]) -> Events | None:
    """None if no receiver is configured, or wrongly: then `tell` is told, which may also be called in another thread.

    The variables are OTEL_EXPORTER_OTLP_ENDPOINT, _PROTOCOL, _HEADERS and the rest, or OTEL_EXPORTER_OTLP_LOGS_... for
    logs alone; OTEL_SDK_DISABLED, OTEL_LOGS_EXPORTER (none; or otlp, to send where it is sent to by default),
    OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES. Without a protocol it is http/protobuf.
    """
    if not wanted(Signal.LOGS):
        return None
    try:
        spoken = protocol(Signal.LOGS)
    except ValueError as error:
        tell(f"OpenTelemetry: no events are sent: {error}")
        return None
    try:
        from gateway.shadow.events.export import ExportedEvents, exporter

        quiet()
        return ExportedEvents(exporter(spoken), tell)
    except Exception as error:  # of whatever a variable says; by its type only, as the text may quote headers
        tell(f"OpenTelemetry: no events are sent: an OTEL_ variable can't be used ({type(error).__name__})")
        return None
