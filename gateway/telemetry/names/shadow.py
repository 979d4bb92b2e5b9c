"""Of shadow-eval, where it is configured."""

from __future__ import annotations

from gateway.telemetry.names.name import LENGTHS, counter, gauge
from gateway.telemetry.names.requests import OUTCOMES

SHADOW_REQUESTS = counter(
    "yardstick_shadow_requests",
    "requests",
    "Mirrored requests and canaries, which count nowhere else, by the model that was asked and outcome",
    ("model", "outcome"),
    {"outcome": (*OUTCOMES, "shed")},
)
SHADOW_SAMPLED = counter(
    "yardstick_shadow_sampled",
    "requests",
    "Live requests that were sampled, by the model chosen",
    ("model",),
)
SHADOW_DROPPED = counter(
    "yardstick_shadow_dropped",
    "requests",
    "Sampled requests that were lost before the shadow process had them, by reason",
    ("reason",),
    {"reason": ("no shadow process", "over the limit", "too long", "busy", "failed")},
)
SHADOW_MATCHED = counter(
    "yardstick_shadow_matched", "samples", "Samples whose prompt is a known task, by model", ("model",)
)
SHADOW_UNMATCHED = counter(
    "yardstick_shadow_unmatched", "samples", "Samples whose prompt is no known task, by model", ("model",)
)
SHADOW_TOKENS = counter(
    "yardstick_shadow_tokens",
    "tokens",
    "Tokens spent on mirrored requests and canaries",
    ("model", "reason"),
    {"reason": ("mirror", "canary")},
)
_LOST = (
    *("unreadable", "fault", "store"),
    *("mirror busy", "mirror budget"),
    *("canary busy", "canary budget", "canary store", "canary out of reach"),
)
SHADOW_LOST = counter(
    "yardstick_shadow_lost",
    "samples",
    "Samples, mirrored requests and canaries that came to nothing",
    ("model", "reason"),
    {"reason": _LOST},
)
SHADOW_VERDICTS = counter(
    "yardstick_shadow_verdicts",
    "verdicts",
    "Verdicts of scorers beside this gateway",
    ("model", "verdict", "level"),
    {"verdict": ("pass", "fail", "timeout", "error")},
)
SHADOW_EVENTS = counter(
    "yardstick_shadow_events",
    "events",
    "OpenTelemetry events of the verdicts of scorers beside this gateway, by outcome (sent or lost)",
    ("outcome",),
    {"outcome": ("sent", "lost")},
)
SHADOW_HELD = gauge(
    "yardstick_shadow_held",
    "samples",
    "Samples on their way to the store: many where it can't be reached",
)
_STRATUM = ("family", "model", "suite", "category", "length", "evidence", "form", "stratum")
_LENGTHS = {"length": ("all", *LENGTHS)}
SHADOW_PASS_AT_1 = gauge(
    "yardstick_shadow_pass_at_1",
    "ratio",
    "Share of the stored answers that pass, each task counting the same, by category or length (all: the whole suite)",
    _STRATUM,
    _LENGTHS,
)
SHADOW_BOUND = gauge(
    "yardstick_shadow_pass_at_1_bound",
    "ratio",
    "95 % interval of pass@1, of this suite or of tasks like these; none where there is not enough to say",
    (*_STRATUM, "interval", "bound"),
    {"interval": ("this_suite", "tasks_like_these"), "bound": ("lower", "upper")} | _LENGTHS,
)
SHADOW_COMPLETIONS = gauge(
    "yardstick_shadow_pass_at_1_completions", "answers", "Answers that pass@1 rests on", _STRATUM, _LENGTHS
)
SHADOW_TASKS = gauge("yardstick_shadow_pass_at_1_tasks", "tasks", "Tasks that pass@1 rests on", _STRATUM, _LENGTHS)
SHADOW_STRATUM = gauge(
    "yardstick_shadow_stratum_info",
    "1",
    "What else tells one stratum of pass@1 from another: figures of two are never to be pooled",
    (
        *("stratum", "suite_version", "mirrored", "sampling", "inflated"),
        *("revision", "engine", "quantisation", "template", "pool_sampling"),
    ),
)
SHADOW_STRATA_LEFT_OUT = gauge(
    "yardstick_shadow_strata_left_out",
    "strata",
    "Strata with the fewest answers, whose pass@1 is not shown: there are too many",
)
SHADOW_READ_AT = gauge(
    "yardstick_shadow_store_read_timestamp_seconds",
    "seconds",
    "When pass@1 was last read from the store, since 1970; 0: not yet",
)
_GATE = ("first", "second", "evidence", "suite", "form")
SHADOW_GATE = gauge(
    "yardstick_shadow_gate",
    "0, 1 or 2",
    "What the policy of `shadow.gate` comes to on all that is stored: 0 it holds, 1 it is violated, 2 undecided",
    _GATE,
)
SHADOW_GATE_PAIRS = gauge(
    "yardstick_shadow_gate_pairs",
    "pairs",
    "Pairs with two verdicts that the gate's answer rests on, by bucket (prompts of at most so many tokens)",
    (*_GATE, "bucket"),
)
SHADOW_GATE_PAIRS_NEEDED = gauge(
    "yardstick_shadow_gate_pairs_needed",
    "pairs",
    "Pairs that the gate is expected to need more, by bucket; 0 where that is settled, +Inf for over 50,000",
    (*_GATE, "bucket"),
)
