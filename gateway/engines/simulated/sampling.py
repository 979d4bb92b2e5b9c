"""Values that fit the schema and that vLLM's sampler refuses nevertheless, with its words.

Most are found before an answer begins. Those that need the vocabulary are found by the engine: a stream has begun by
then, so that there the refusal is an event.
"""

from __future__ import annotations

from math import isfinite

from gateway.engines.simulated.errors import bad_parameter, bad_request
from gateway.engines.simulated.wire import ChatRequest, CompletionRequest, Generation

_MAX_LOGPROBS = 20
_MAX_N = 16_384
_GREEDY = 1e-5  # temperatures below this


def check_sampling(request: Generation, max_tokens: int) -> None:
    """Raises the "BadRequestError" of the first value that the sampler refuses. ``max_tokens`` is what fits."""
    _check_ranges(request)
    _check_temperature(request.temperature)
    _check_lengths(request, max_tokens)
    if "" in request.stop_strings:
        raise bad_request("stop cannot contain an empty string.")
    if "" in request.bad_words:
        raise bad_request(f"bad_words cannot contain an empty string. Got bad_words={request.bad_words}")
    if request.choices > 1 and request.temperature is not None and request.temperature < _GREEDY:
        raise bad_request(f"n must be 1 when using greedy sampling, got {request.choices}.")
    wrong = [key for key in request.logit_bias or () if not key.lstrip("-").isdigit()]
    if wrong:
        message = f"logit_bias contains key(s) that cannot be converted to integer token IDs: {wrong}"
        raise bad_parameter(message, "logit_bias", wrong)


def _check_ranges(request: Generation) -> None:
    if request.choices < 1:
        raise bad_request(f"n must be at least 1, got {request.choices}.")
    if request.choices > _MAX_N:
        message = f"n must be at most {_MAX_N}, got {request.choices}. To increase this limit, set the "
        raise bad_request(f"{message}VLLM_MAX_N_SEQUENCES environment variable.")
    repetition, top_p, min_p = request.repetition_penalty, request.top_p, request.min_p
    ranges = (
        ("presence_penalty", request.presence_penalty, -2 <= (request.presence_penalty or 0) <= 2, "in [-2, 2]"),
        ("frequency_penalty", request.frequency_penalty, -2 <= (request.frequency_penalty or 0) <= 2, "in [-2, 2]"),
        ("repetition_penalty", repetition, repetition is None or isfinite(repetition), "a finite number,"),
        ("repetition_penalty", repetition, repetition is None or repetition > 0, "greater than zero"),
        ("top_k", request.top_k, (request.top_k or 0) >= -1, "0 (disable), or at least 1"),
        ("min_p", min_p, min_p is None or 0 <= min_p <= 1, "in [0, 1]"),
    )
    for name, value, fits, words in ranges:
        if not fits:
            raise bad_request(f"{name} must be {words.rstrip(',')}, got {value}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise bad_parameter(f"top_p must be in (0, 1], got {top_p}.", "top_p", top_p)


def _check_temperature(temperature: float | None) -> None:
    if temperature is None or 0 <= temperature <= 2:
        return
    words = "non-negative" if temperature < 0 else "in [0, 2]"
    words = words if isfinite(temperature) else "a finite number"
    raise bad_parameter(f"temperature must be {words}, got {temperature}.", "temperature", temperature)


def _check_lengths(request: Generation, max_tokens: int) -> None:
    if max_tokens < 1:
        # The message names max_tokens, whichever of the two fields the client sent.
        raise bad_parameter(f"max_tokens must be at least 1, got {max_tokens}.", "max_tokens", max_tokens)
    if request.min_tokens < 0:
        raise bad_request(f"min_tokens must be greater than or equal to 0, got {request.min_tokens}.")
    if request.min_tokens > max_tokens:
        message = f"min_tokens must be less than or equal to max_tokens={max_tokens}, got {request.min_tokens}."
        raise bad_request(message)


def check_vocabulary(request: ChatRequest | CompletionRequest, vocabulary: int) -> None:
    """Raises the "BadRequestError" of what only the engine can refuse. ``vocabulary``: how many tokens there are."""
    top = request.top_logprobs if isinstance(request, ChatRequest) else request.logprobs
    for kind, name, asked in (("sample", "logprobs", top), ("prompt", "prompt_logprobs", request.prompt_top)):
        wanted = vocabulary if asked == -1 else asked or 0
        if wanted > _MAX_LOGPROBS:
            message = f"Requested {kind} logprobs of {wanted}, which is greater than max allowed: {_MAX_LOGPROBS}"
            raise bad_parameter(message, name, wanted)
    biased = [int(key) for key in request.logit_bias or ()]
    for name, ids in (("stop_token_ids", request.stop_token_ids or []), ("logit_bias", biased)):
        wrong = [token for token in ids if not 0 <= token < vocabulary]
        if wrong:
            message = f"token_id(s) {wrong} in {name} contain out-of-vocab token ids. Vocabulary size: {vocabulary}"
            raise bad_parameter(message, name, wrong)
    allowed = request.allowed_token_ids
    if allowed == []:
        raise bad_parameter("allowed_token_ids is not None and empty!", "allowed_token_ids", allowed)
    wrong = [token for token in allowed or () if not 0 <= token < vocabulary]
    if wrong:
        raise bad_parameter("allowed_token_ids contains out-of-vocab token id!", "allowed_token_ids", wrong)
