"""Every error the gateway itself answers, and the one place that renders them.

The shape is OpenAI's: ``{"error": {"message", "type", "param", "code"}}``. Status and type are the ones from which the
official clients choose their exception class (400 BadRequestError, 401 AuthenticationError, 404 NotFoundError, 429
RateLimitError, 5xx InternalServerError).
"""

from __future__ import annotations

import msgspec

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "upstream_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}

LONGEST = 1000


class ApiError(Exception):
    """An answer that is an error: raised where it is known, rendered at the edge.

    Messages quote what the client sent, which may be megabytes: what is told is cut to `LONGEST` characters.
    ``retry_after`` is in seconds. ``close`` ends the connection after the answer (the request was not read to its end).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        retry_after: int | None = None,
        allow: str | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = _shortened(message)
        self.code = code
        self.param = None if param is None else _shortened(param)
        self.retry_after = retry_after
        self.allow = allow
        self.close = close

    @property
    def type(self) -> str:
        return _TYPES.get(self.status, "invalid_request_error")

    def body(self) -> bytes:
        """The JSON body. The message is one line, so that it can also stand in one server-sent event."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return msgspec.json.encode({"error": error})

    def headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(b"content-type", b"application/json")]
        if self.retry_after is not None:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        if self.allow is not None:
            headers.append((b"allow", self.allow.encode()))
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        return headers


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def bad_request(message: str, *, param: str | None = None, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, code=code, param=param)


def message_of(body: bytes) -> str:
    """What a model server's error says, whatever its shape."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body[:500].decode(errors="replace")
    if isinstance(value, dict):
        value = value.get("error", value)
    if isinstance(value, dict):
        value = value.get("message", value.get("detail", value))
    return value if isinstance(value, str) else str(value)


def has_shape(body: bytes) -> bool:
    """Whether clients can read it: OpenAI's shape, at least its message."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    error = value.get("error") if isinstance(value, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str)


def misleading(status: int, message: str, address: str, *, has_shape: bool) -> ApiError | None:
    """What to say instead of a model server's error that a client would take for its own fault, or can't read."""
    if status in (401, 403):
        return ApiError(502, f"{address} refuses the gateway's API key.", code="upstream_unauthorized")
    if status == 404:
        return ApiError(
            503, f"{address} does not serve what it did: {message}", code="upstream_model_missing", retry_after=2
        )
    if not has_shape:
        return ApiError(status if status != 500 else 502, f"{address}: {message}", code="upstream_error")
    return None
