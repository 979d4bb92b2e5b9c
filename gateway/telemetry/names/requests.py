"""Of requests: how they ended, where they went, how long they and their answers were and took."""

from __future__ import annotations

from typing import get_args

from gateway.telemetry.names.name import counter, gauge, histogram
from routing.length import Method, Reason

# A prompt of 128K tokens takes its model server from seconds to minutes until the first chunk.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
# Fine where model servers decode, with room for chunks that wait behind a long prompt's prefill.
CHUNK_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0),
    *(2.5, 5.0),
)
# Most requests are decided by their bytes, in well below a millisecond; some are counted, and some wait for a thread.
OVERHEAD_SECONDS = (
    *(50e-6, 100e-6, 150e-6, 200e-6, 300e-6, 500e-6, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    *(2.5, 5.0),
)
PROMPT_TOKENS_UP_TO = tuple(2.0**power for power in range(7, 18))  # 128 to 131,072

OUTCOMES = ("ok", "client_error", "gateway_error", "upstream_error", "cancelled")

REQUESTS = counter(
    "yardstick_requests",
    "requests",
    "Requests to models that ended, by route, model that answered (empty: none was chosen) and outcome",
    ("route", "model", "outcome"),
    {
        "route": ("/v1/chat/completions", "/v1/completions", "refused"),
        "outcome": OUTCOMES,
    },
)
DECISIONS = counter(
    "yardstick_decisions",
    "requests",
    "Requests by the model chosen, how the prompt was measured and why",
    ("model", "method", "reason"),
    {"method": get_args(Method), "reason": get_args(Reason)},
)
PROMPT_LENGTH = histogram(
    "yardstick_prompt_length_tokens",
    "tokens",
    "Lengths of prompts as far as a decision needed them (where they were not counted, a bound or an estimate)",
    PROMPT_TOKENS_UP_TO,
    ("model",),
)
THRESHOLD = gauge(
    "yardstick_threshold_tokens",
    "tokens",
    "The longest prompt that `auto` gives to the short model, in that model's tokens",
    workers="max",
)
PROMPT_TOKENS = counter(
    "yardstick_prompt_tokens", "tokens", "Prompt tokens, as the model servers report them", ("model",)
)
OUTPUT_TOKENS = counter(
    "yardstick_output_tokens", "tokens", "Output tokens, as the model servers report them", ("model",)
)
RELAYED_BYTES = counter("yardstick_relayed_bytes", "bytes", "Bytes of answers sent to clients", ("model",))
FIRST_CHUNK = histogram(
    "yardstick_time_to_first_chunk_seconds",
    "seconds",
    "Of streams that began: from the request's last byte to the first output chunk",
    SECONDS,
    ("model", "length"),
)
CHUNK = histogram(
    "yardstick_time_per_output_chunk_seconds",
    "seconds",
    "Of whole streams of at least two chunks: the mean time from one chunk to the next",
    CHUNK_SECONDS,
    ("model", "length"),
)
DURATION = histogram(
    "yardstick_request_seconds",
    "seconds",
    "Of whole answers: from the request's last byte to the answer's last",
    SECONDS,
    ("model", "length"),
)
OVERHEAD = histogram(
    "yardstick_overhead_seconds",
    "seconds",
    "The gateway's own time: from the request's last byte until it was first written to a model server",
    OVERHEAD_SECONDS,
    ("model",),
)
