"""Where spans go, by OpenTelemetry's own environment variables; nowhere unless they say so."""

from __future__ import annotations

from collections.abc import Callable

from gateway.config import environment
from gateway.config_traces import SAMPLE, TraceSettings
from gateway.telemetry.otlp import Signal, protocol, quiet, wanted
from gateway.telemetry.traces.keep import Traces

_SAMPLERS = {"always_on": 1.0, "always_off": 0.0, "traceidratio": None}


def open_traces(settings: TraceSettings, tell: Callable[[str], None]) -> Traces | None:
    """None if no receiver is configured, or wrongly: then `tell` is told, which may also be called in another thread.

    The variables are OTEL_EXPORTER_OTLP_ENDPOINT, _PROTOCOL, _HEADERS and the rest, or OTEL_EXPORTER_OTLP_TRACES_...
    for traces alone; OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER (none; or otlp, to send where it is sent to by default),
    OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_SCHEDULE_DELAY.
    Without a protocol it is http/protobuf.
    """
    if not wanted(Signal.TRACES):
        return None
    try:
        spoken, share = protocol(Signal.TRACES), _share()
    except ValueError as error:
        tell(f"OpenTelemetry: no traces are sent: {error}")
        return None
    try:
        from gateway.telemetry.traces.export import ExportedSpans, exporter

        quiet()
        return Traces(settings, ExportedSpans(exporter(spoken), tell), share=share)
    except Exception as error:  # of whatever a variable says; by its type only, as the text may quote headers
        tell(f"OpenTelemetry: no traces are sent: an OTEL_ variable can't be used ({type(error).__name__})")
        return None


def _share() -> float:
    """That of the environment. The decision is always the client's first: `parentbased_` changes nothing."""
    name = (environment("OTEL_TRACES_SAMPLER") or "").strip().lower().removeprefix("parentbased_")
    given = environment("OTEL_TRACES_SAMPLER_ARG")
    if not name:
        return SAMPLE if given is None else _ratio(given)
    if name not in _SAMPLERS:
        known = ", ".join(f"{each}, parentbased_{each}" for each in _SAMPLERS)
        raise ValueError(f"OTEL_TRACES_SAMPLER is {name}, and can be one of {known}")
    fixed = _SAMPLERS[name]
    if fixed is not None:
        return fixed
    return 1.0 if given is None else _ratio(given)


def _ratio(given: str) -> float:
    try:
        found = float(given)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ValueError("OTEL_TRACES_SAMPLER_ARG has to be a number from 0 to 1")
    return found
