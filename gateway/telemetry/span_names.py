"""The names of spans' attributes: of OpenTelemetry's conventions for HTTP and generative AI, and ours.

The version is the one that `event_names` pins, for the reason given there.
"""

from __future__ import annotations

from gateway.telemetry.event_names import CONVENTIONS as CONVENTIONS
from gateway.telemetry.event_names import ERROR_TYPE as ERROR_TYPE

SCOPE = "yardstick.gateway"
DECIDE = "decide"
"""The span of a decision for which the prompt was counted."""

METHOD = "http.request.method"
ROUTE = "http.route"
PATH = "url.path"
SCHEME = "url.scheme"
STATUS = "http.response.status_code"
RESEND = "http.request.resend_count"
ADDRESS = "server.address"
PORT = "server.port"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
"""The model that was chosen; never what the client wrote, which may be anything."""
RESPONSE_MODEL = "gen_ai.response.model"
"""The name under which the model server serves it and was asked; answers are not read."""
STREAM = "gen_ai.request.stream"
MAX_TOKENS = "gen_ai.request.max_tokens"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"

REQUEST_ID = "yardstick.request.id"
OUTCOME = "yardstick.outcome"
CODE = "yardstick.error.code"
KEPT = "yardstick.trace.kept"
"""Why: sampled, client (its traceparent said so), error or slow."""
MODEL = "yardstick.decision.model"
REASON = "yardstick.decision.reason"
COUNTED = "yardstick.decision.counted"
TOKENS = "yardstick.decision.prompt_tokens"
