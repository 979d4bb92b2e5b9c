"""Verdicts as OpenTelemetry events: `gen_ai.evaluation.result`, sent by OTLP where OTEL_* variables name a receiver.

`evaluation` says what an event has in it, `export` sends without making anyone wait and counts what is lost,
`announce` sees to it that a verdict makes one event, and `configured` reads the settings. Nothing of OpenTelemetry is
imported before it is known that there is somewhere to send events to.
"""

from __future__ import annotations

from gateway.shadow.events.announce import Announcing
from gateway.shadow.events.configured import Events, open_events

__all__ = ["Announcing", "Events", "open_events"]
