"""What everything that is sent by OTLP has in common: who is to get it, and what became of it.

Only OpenTelemetry's own environment variables name a receiver. The SDK tells nobody what it lost: its batch processors
drop the oldest of a full queue, ignore that an export failed, and say so of none of them when they are flushed. So what
waits is bounded here, before the queue, and exports are counted where they return.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from gateway.config import environment

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

GRPC, HTTP = "grpc", "http/protobuf"
SENT, LOST = "sent", "lost"
MOST_WAITING = 2_048
_UNNAMED = "unknown_service"


class Signal(StrEnum):
    """As the variables' names have it."""

    LOGS = "LOGS"
    TRACES = "TRACES"


def wanted(signal: Signal) -> bool:
    """Whether the variables name a receiver. They are OTEL_EXPORTER_OTLP_ENDPOINT or, for one signal alone,
    OTEL_EXPORTER_OTLP_<SIGNAL>_ENDPOINT; OTEL_SDK_DISABLED; and OTEL_<SIGNAL>_EXPORTER (none; or otlp, to send where
    it is sent to by default)."""
    if (environment("OTEL_SDK_DISABLED") or "").strip().lower() == "true":
        return False
    exporters = [each.strip() for each in (environment(f"OTEL_{signal}_EXPORTER") or "").split(",") if each.strip()]
    if exporters:
        return "otlp" in exporters
    return _variable(signal, "ENDPOINT") is not None


def protocol(signal: Signal) -> str:
    """HTTP with protobuf if it is not said. Raises ValueError, whose text may be told, if it can't be spoken."""
    found = _variable(signal, "PROTOCOL") or HTTP
    if found not in (GRPC, HTTP):
        raise ValueError(f"the protocol is {found}, and can be {GRPC} or {HTTP}")
    return found


def quiet() -> None:
    """To be called before an exporter is made. Without a handler Python prints the SDK's warnings: one for every
    attempt of every batch, and, of headers that it can't read, with the headers."""
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())


def _variable(signal: Signal, name: str) -> str | None:
    return environment(f"OTEL_EXPORTER_OTLP_{signal}_{name}") or environment(f"OTEL_EXPORTER_OTLP_{name}")


def resource(service: str) -> Resource:
    """This process's, with this name unless the environment has one. Imports the SDK."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource

    found = Resource.create()
    named = str(found.attributes.get(SERVICE_NAME, _UNNAMED))
    return found.merge(Resource({SERVICE_NAME: service})) if named.startswith(_UNNAMED) else found


class Deliveries:
    """Counts what waits, was sent and was lost, in any thread. ``tell`` is told of the first loss, and at the end.

    ``what`` is sent, in the plural, and ``goes_on`` whatever becomes of it: words for people.
    """

    def __init__(self, what: str, goes_on: str, tell: Callable[[str], None], patience: float) -> None:
        self._what, self._goes_on, self._tell, self._patience = what, goes_on, tell, patience
        self._lock = threading.Lock()
        self._counted = {SENT: 0, LOST: 0}
        self._waiting = 0
        self._closed = self._told = False

    @property
    def counted(self) -> Mapping[str, int]:
        with self._lock:
            return dict(self._counted)

    def take(self, count: int = 1) -> bool:
        """Whether so many more may wait; else they are lost."""
        with self._lock:
            full = self._closed or self._waiting + count > MOST_WAITING
            self._waiting += 0 if full else count
        if full:
            self._lose(count)
        return not full

    def settled(self, count: int, *, delivered: bool) -> None:
        with self._lock:
            if self._closed:  # counted as lost by then
                return
            self._waiting -= count
            self._counted[SENT] += count * delivered
        self._lose(0 if delivered else count)

    def close(self, flush: Callable[[], None], give_up: Callable[[], None]) -> None:
        """Lets `flush` send what is left for some seconds, then has `give_up` end that; the rest is lost."""
        ending = threading.Thread(target=flush, name=f"last {self._what}", daemon=True)
        ending.start()
        ending.join(self._patience)
        with self._lock:
            self._closed = True
            left, self._waiting = self._waiting, 0
        self._lose(left)
        if ending.is_alive():
            give_up()
        counted = self.counted
        if counted[LOST]:
            self._tell(f"OpenTelemetry: of {sum(counted.values()):,} {self._what} {counted[LOST]:,} were lost")

    def _lose(self, count: int) -> None:
        with self._lock:
            self._counted[LOST] += count
            first = count > 0 and not self._told
            self._told = self._told or first
        if first:
            self._tell(f"OpenTelemetry: {self._what} can't be sent. {self._goes_on} goes on; what is lost is counted")
