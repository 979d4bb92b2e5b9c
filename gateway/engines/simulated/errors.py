"""Error answers in the shapes that vLLM 0.32 gives them.

Most are ``{"error": {"message", "type", "param", "code"}}`` with ``code`` as a number. Exceptions: 401 is
``{"error": "Unauthorized"}``, an unknown route ``{"detail": "Not Found"}``.
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


def invalid_body(errors: list[Any], param: str | None) -> EngineError:
    """A body that fails validation: the type is the HTTP phrase, with a space. One line per error."""
    label = "error" if len(errors) == 1 else "errors"
    lines = "".join(f"\n  {error}" for error in errors)
    return _error(400, f"{len(errors)} validation {label}:{lines}", "Bad Request", param)


def unknown_model(name: str, served: str) -> EngineError:
    return _error(404, f"The model `{name}` does not exist. Valid aliases: {served}.", "NotFoundError", "model")


def prompt_too_long(window: int) -> EngineError:
    """The number in the message is a floor: vLLM stops tokenizing one token past the window."""
    floor = window + 1
    return bad_parameter(
        f"This model's maximum context length is {window} tokens. However, your prompt contains at least {floor} "
        "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
        "prompt.",
        "input_tokens",
        floor,
    )


def no_room_for_output(window: int, requested: int) -> EngineError:
    """Prompt and ``max_tokens`` together pass the window. The prompt's number is a floor here too."""
    floor = window - requested + 1
    return bad_parameter(
        f"This model's maximum context length is {window} tokens. However, you requested {requested} output tokens and "
        f"your prompt contains at least {floor} input tokens, for a total of at least {window + 1} tokens. Please "
        "reduce the length of the input prompt or the number of requested output tokens.",
        "input_tokens",
        floor,
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


def overloaded(limit: int | None = None, *, retry_after: int | None = None) -> EngineError:
    """503, without Retry-After, as vLLM has none; with it, as a proxy may send it.

    The type is the HTTP phrase, with a space (`GracefulHTTPError`, in vLLM 0.32's create_error_response).
    """
    full = "" if limit is None else f": {limit} sequences are in flight"
    message = f"The engine is busy and takes no new requests{full}. Please try again later, or another instance."
    refused = _error(503, message, "Service Unavailable", None)
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


def unauthorized() -> EngineError:
    return EngineError(401, {"error": "Unauthorized"})


def not_found() -> EngineError:
    return EngineError(404, {"detail": "Not Found"})


def method_not_allowed(allow: str) -> EngineError:
    return EngineError(405, {"detail": "Method Not Allowed"}, [(b"allow", allow.encode())])
