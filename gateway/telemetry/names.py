"""The names of all metrics, with help and labels: one registry, so that nothing is spelled twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# A prompt of 128K tokens takes its model server from seconds to minutes until the first chunk.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)


@dataclass(frozen=True, slots=True)
class Name:
    """``workers``: what several workers' values come to. `max` is for what each of them sees for itself."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    workers: Literal["sum", "max"] = "sum"


REQUESTS = Name(
    "yardstick_requests",
    "Requests that ended, by route, model that answered (empty: none was chosen) and outcome",
    ("route", "model", "outcome"),
)
DECISIONS = Name(
    "yardstick_decisions",
    "Requests by the model chosen, how the prompt was measured and why",
    ("model", "method", "reason"),
)
SHADOW_REQUESTS = Name(
    "yardstick_shadow_requests",
    "Mirrored requests and canaries, which count nowhere else, by the model that was asked and outcome",
    ("model", "outcome"),
)
SHADOW_SAMPLED = Name("yardstick_shadow_sampled", "Live requests that were sampled, by the model chosen", ("model",))
SHADOW_DROPPED = Name("yardstick_shadow_dropped", "Sampled requests that were lost, by reason", ("reason",))
SHADOW_MATCHED = Name("yardstick_shadow_matched", "Samples whose prompt is a known task, by model", ("model",))
SHADOW_UNMATCHED = Name("yardstick_shadow_unmatched", "Samples whose prompt is no known task, by model", ("model",))
SHADOW_TOKENS = Name("yardstick_shadow_tokens", "Tokens spent on mirrored requests and canaries", ("model", "reason"))
SHADOW_LOST = Name(
    "yardstick_shadow_lost", "Samples, mirrored requests and canaries that came to nothing", ("model", "reason")
)
SHADOW_VERDICTS = Name(
    "yardstick_shadow_verdicts", "Verdicts of scorers beside this gateway", ("model", "verdict", "level")
)
SHADOW_EVENTS = Name(
    "yardstick_shadow_events",
    "OpenTelemetry events of the verdicts of scorers beside this gateway, by outcome (sent or lost)",
    ("outcome",),
)
SHADOW_HELD = Name("yardstick_shadow_held", "Samples on their way to the store: many where it can't be reached")
_STRATUM = ("family", "model", "suite", "category", "evidence", "form", "stratum")
SHADOW_PASS_AT_1 = Name(
    "yardstick_shadow_pass_at_1",
    "Share of the stored answers that pass, each task counting the same, by category (all: of the whole suite)",
    _STRATUM,
)
SHADOW_BOUND = Name(
    "yardstick_shadow_pass_at_1_bound",
    "95 % interval of pass@1, of this suite or of tasks like these; none where there is not enough to say",
    (*_STRATUM, "interval", "bound"),
)
SHADOW_COMPLETIONS = Name("yardstick_shadow_pass_at_1_completions", "Answers that pass@1 rests on", _STRATUM)
SHADOW_TASKS = Name("yardstick_shadow_pass_at_1_tasks", "Tasks that pass@1 rests on", _STRATUM)
SHADOW_STRATUM = Name(
    "yardstick_shadow_stratum_info",
    "What else tells one stratum of pass@1 from another: figures of two are never to be pooled",
    (
        *("stratum", "suite_version", "mirrored", "sampling", "inflated"),
        *("revision", "engine", "quantisation", "template", "pool_sampling"),
    ),
)
SHADOW_STRATA_LEFT_OUT = Name(
    "yardstick_shadow_strata_left_out", "Strata with the fewest answers, whose pass@1 is not shown: there are too many"
)
SHADOW_READ_AT = Name(
    "yardstick_shadow_store_read_timestamp_seconds", "When pass@1 was last read from the store; 0: not yet"
)
PROMPT_TOKENS = Name("yardstick_prompt_tokens", "Prompt tokens, as the model servers report them", ("model",))
OUTPUT_TOKENS = Name("yardstick_output_tokens", "Output tokens, as the model servers report them", ("model",))
RELAYED_BYTES = Name("yardstick_relayed_bytes", "Bytes of answers sent to clients", ("model",))
FIRST_CHUNK = Name(
    "yardstick_time_to_first_chunk_seconds", "From the request's last byte to the first output chunk", ("model",)
)
DURATION = Name("yardstick_request_seconds", "From the request's last byte to the answer's last", ("model",))
IN_FLIGHT = Name("yardstick_in_flight", "Attempts that were sent and have not ended", ("model", "endpoint"))
ENDPOINT_UP = Name(
    "yardstick_endpoint_up", "1 if the endpoint answered when last asked", ("model", "endpoint"), workers="max"
)
ENDPOINT_EJECTED = Name(
    "yardstick_endpoint_ejected", "1 while the endpoint is left out after failures", ("model", "endpoint")
)
EJECTIONS = Name("yardstick_ejections", "Times that the endpoint was left out after failures", ("model", "endpoint"))
OPEN_CONNECTIONS = Name("yardstick_open_connections", "Client connections")
LOG_LINES_DROPPED = Name("yardstick_log_lines_dropped", "Log lines thrown away because nobody read them fast enough")
CONFIG_RELOADS = Name(
    "yardstick_config_reloads", "Changed configurations that were taken (applied) or not (refused)", ("outcome",), "max"
)
CONFIG_IN_USE = Name("yardstick_config_in_use", "Workers that serve with the settings of this hash", ("hash",))
TRACES = Name(
    "yardstick_traces",
    "Traces of requests, by why they are kept (sampled, client, error, slow), or dropped because there were too many",
    ("outcome",),
)
SPANS = Name("yardstick_spans", "OpenTelemetry spans of kept traces, by outcome (sent or lost)", ("outcome",))
