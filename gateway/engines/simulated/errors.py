"""Error answers in the shapes that vLLM 0.32 gives them.

Most are ``{"error": {"message", "type", "param", "code"}}`` with ``code`` as a number. Exceptions: 401 is
``{"error": "Unauthorized"}``; what the web framework refuses by itself is ``{"detail": "Not Found"}``.
"""

from __future__ import annotations

from typing import Any

import msgspec


class EngineError(Exception):
    """An answer that is an error. ``body`` is its JSON."""

    def __init__(self, status: int, body: Any, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        super().__init__(body)
        self.status = status
        self.value = body
        self.body = msgspec.json.encode(body)
        self.headers = headers or []


def _error(status: int, message: str, kind: str, param: str | None) -> EngineError:
    return EngineError(status, {"error": {"message": message, "type": kind, "param": param, "code": status}})


def bad_request(message: str, param: str | None = None) -> EngineError:
    return _error(400, message, "BadRequestError", param)


def bad_parameter(message: str, param: str, value: object) -> EngineError:
    """A 400 whose message ends in the parameter and its value."""
    return bad_request(f"{message} (parameter={param}, value={value})", param)


def broken_rule(message: str, param: str) -> EngineError:
    """A 400 for fields that contradict each other: the message ends in the parameter, without its value."""
    return bad_request(f"{message} (parameter={param})", param)


def invalid_body(errors: list[str], param: str | None, count: int | None = None) -> EngineError:
    """A body that fails validation: the type is the HTTP phrase, with a space. One line per error.

    ``count``: of how many errors ``errors`` are the first ones.
    """
    count = len(errors) if count is None else count
    label = "error" if count == 1 else "errors"
    lines = "".join(f"\n  {error}" for error in errors)
    more = f"\n  ...and {count - len(errors)} more {label}" if count > len(errors) else ""
    return _error(400, f"{count} validation {label}:{lines}{more}", "Bad Request", param)


def unreadable_body() -> EngineError:
    """Bytes in which the JSON reader fails without saying where."""
    return EngineError(400, {"detail": "There was an error parsing the body"})


def unknown_model(name: str, served: str) -> EngineError:
    return _error(404, f"The model `{name}` does not exist. Valid aliases: {served}.", "NotFoundError", "model")


def prompt_too_long(window: int, tokens: int) -> EngineError:
    """Texts are tokenized up to one token past the window: so that number is a floor, wherever it comes from."""
    at_least = "at least " if tokens == window + 1 else ""
    return bad_parameter(
        f"This model's maximum context length is {window} tokens. However, your prompt contains {at_least}{tokens} "
        "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
        "prompt.",
        "input_tokens",
        tokens,
    )


def text_too_long(window: int, characters: int, most: int) -> EngineError:
    """``most``: the characters of a window full of the longest token. A longer text is not even tokenized."""
    return bad_parameter(
        f"This model's maximum context length is {window} tokens. However, your prompt contains {characters} "
        f"characters (more than {most} characters, which is the upper bound for {window} input tokens). Please reduce "
        "the length of the input prompt.",
        "input_text",
        characters,
    )


def prompt_fills_window(window: int) -> EngineError:
    return bad_request(
        f"The decoder prompt (length {window}) plus the number of requested output tokens (at least 1) is longer than "
        f"the maximum model length of {window}. Make sure that `max_model_len` is no smaller than the number of text "
        "tokens (prompt + requested output tokens)."
    )


def output_too_long(window: int, param: str, requested: int) -> EngineError:
    return bad_parameter(
        f"{param}={requested} cannot be greater than max_model_len={window}. Please request fewer output tokens.",
        param,
        requested,
    )


def overloaded(*, retry_after: int | None = None) -> EngineError:
    """503, without Retry-After, as vLLM has none; with it, as a proxy may send it. The type has a space."""
    message = "The engine is currently busy and cannot accept new requests. Please try again later or on a different "
    refused = _error(503, f"{message}instance.", "Service Unavailable", None)
    if retry_after is not None:
        refused.headers.append((b"retry-after", str(retry_after).encode()))
    return refused


def engine_dead() -> EngineError:
    """What /health answers once the engine is gone: 503 without a body (vLLM 0.32's instrumentator/health.py)."""
    dead = EngineError(503, None)
    dead.body = b""
    return dead


def rate_limited(retry_after: int) -> EngineError:
    """429 in vLLM's shape, as a proxy may send it; vLLM 0.32 answers none. ``retry_after`` is in seconds."""
    refused = _error(429, "Too many requests. Please retry later.", "Too Many Requests", None)
    refused.headers.append((b"retry-after", str(retry_after).encode()))
    return refused


def generation_failed() -> EngineError:
    """What vLLM 0.32 says when the engine gives up a request on its way (`GenerationError` in its exceptions.py)."""
    return internal("Internal server error")


def internal(message: str) -> EngineError:
    return _error(500, message, "InternalServerError", None)


def tokenizer_failed() -> EngineError:
    return internal("The tokenizer failed on this prompt.")


def no_text() -> EngineError:
    """A lone surrogate: JSON can spell it, a tokenizer can't take it."""
    return bad_request("TextEncodeInput must be Union[TextInputSequence, Tuple[InputSequence, InputSequence]]")


def unauthorized() -> EngineError:
    return EngineError(401, {"error": "Unauthorized"})


def not_found() -> EngineError:
    return EngineError(404, {"detail": "Not Found"})


def method_not_allowed(allow: str) -> EngineError:
    return EngineError(405, {"detail": "Method Not Allowed"}, [(b"allow", allow.encode())])
