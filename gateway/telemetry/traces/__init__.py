"""Traces of requests: two spans each, three where a prompt was counted, one more for each further attempt.

`context` reads what a client sends (W3C trace context), `keep` decides which requests are traced and keeps the few
times of them all, `spans` makes spans of a request that has ended, `export` sends them by OTLP without making anyone
wait, and `configured` reads the settings. Of OpenTelemetry nothing is imported before it is known that there is
somewhere to send spans to, and nothing of its runs while a request does.
"""

from __future__ import annotations

from gateway.telemetry.traces.configured import open_traces
from gateway.telemetry.traces.context import TRACEPARENT
from gateway.telemetry.traces.keep import Asked, Ended, Sent, Trace, Traces

__all__ = ["TRACEPARENT", "Asked", "Ended", "Sent", "Trace", "Traces", "open_traces"]
