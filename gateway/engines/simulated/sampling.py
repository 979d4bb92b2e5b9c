"""Values that fit the schema and that vLLM's sampler refuses nevertheless, with its words."""

from __future__ import annotations

from gateway.engines.simulated.errors import bad_parameter, bad_request
from gateway.engines.simulated.wire import ChatRequest, CompletionRequest, Generation

_MAX_LOGPROBS = 20
_MAX_N = 16_384


def check_sampling(request: ChatRequest | CompletionRequest) -> None:
    """Raises the "BadRequestError" of the first value that the sampler refuses."""
    _check_ranges(request)
    _, limit = request.output_limit
    only_echo = isinstance(request, CompletionRequest) and bool(request.echo) and limit == 0
    if limit is not None and limit < 1 and not only_echo:
        # The message names max_tokens, whichever of the two fields the client sent.
        raise bad_parameter(f"max_tokens must be at least 1, got {limit}.", "max_tokens", limit)
    if "" in request.stop_strings:
        raise bad_request("stop cannot contain an empty string.")
    top = request.top_logprobs if isinstance(request, ChatRequest) else request.logprobs
    if top is not None and not -1 <= top <= _MAX_LOGPROBS:
        message = f"Requested sample logprobs of {top}, which is greater than max allowed: {_MAX_LOGPROBS}"
        raise bad_parameter(message, "logprobs", top)


def _check_ranges(request: Generation) -> None:
    ranges = (
        ("n", request.n, request.choices >= 1, "at least 1"),
        ("n", request.n, request.choices <= _MAX_N, f"at most {_MAX_N}"),
        ("presence_penalty", request.presence_penalty, -2 <= (request.presence_penalty or 0) <= 2, "in [-2, 2]"),
        ("frequency_penalty", request.frequency_penalty, -2 <= (request.frequency_penalty or 0) <= 2, "in [-2, 2]"),
        ("temperature", request.temperature, (request.temperature or 0) >= 0, "non-negative"),
        ("top_p", request.top_p, request.top_p is None or 0 < request.top_p <= 1, "in (0, 1]"),
        ("top_k", request.top_k, (request.top_k or 0) >= -1, "0 (disable), or at least 1"),
        ("min_p", request.min_p, 0 <= (request.min_p or 0) <= 1, "in [0, 1]"),
    )
    for name, value, fits, words in ranges:
        if not fits:
            raise bad_parameter(f"{name} must be {words}, got {value}.", name, value)
