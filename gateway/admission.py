"""What a head has to have before its body is read: an id, a key, and for the relayed routes what they take."""

from __future__ import annotations

import itertools
import re
import secrets
from urllib.parse import unquote_to_bytes

from gateway.errors import ApiError
from gateway.exchange import Exchange
from gateway.keys import Keys
from gateway.request import Route
from gateway.shadow.canary.mark import HEADER, marked

RELAYED = {route.value.encode(): route for route in Route}
_request_id = re.compile(rb"[A-Za-z0-9._:-]{1,128}").fullmatch
_is_json = re.compile(rb"application/json\s*(;|$)").match


class Admission:
    """``keys`` are those in use, None where everybody is let in; ``secret`` is that of our own requests' seals."""

    def __init__(self, secret: bytes | None) -> None:
        self.keys: Keys | None = None
        self._secret = secret
        self._id_prefix = secrets.token_hex(8).encode()
        self._id_numbers = itertools.count(1)

    def admit(self, exchange: Exchange) -> None:
        """Raises an `ApiError` to refuse it."""
        self.identify(exchange)
        path = exchange.path
        if self._secret is not None and HEADER in exchange.fields:
            exchange.shadow = marked(self._secret, exchange.fields[HEADER]) is not None
        if self.keys is not None and not exchange.shadow and _needs_key(path):
            name = self.keys.name_of(exchange.fields.get(b"authorization"))
            if name is None:
                raise ApiError(
                    401, "The API key is missing or wrong: send `Authorization: Bearer KEY`.", code="invalid_api_key"
                )
            exchange.key_name = name
        if path in RELAYED:
            if exchange.method != b"POST":
                method = exchange.method.decode("latin-1")
                raise ApiError(
                    405, f"{path.decode()} takes POST, not {method}.", code="method_not_allowed", allow="POST"
                )
            if not _is_json(exchange.fields.get(b"content-type", b"").lower()):
                message = "The body must be JSON: send `Content-Type: application/json`."
                raise ApiError(415, message, code="unsupported_media_type")

    def identify(self, exchange: Exchange) -> None:
        """The client's id, if it can be one, or a new one."""
        given = exchange.fields.get(b"x-request-id")
        exchange.request_id = given if given is not None and _request_id(given) else self._new_id()

    def _new_id(self) -> bytes:
        """Unique by a random part for the process and a number: asking the system for randomness costs a call each."""
        return b"%b-%x" % (self._id_prefix, next(self._id_numbers))


def _needs_key(path: bytes) -> bool:
    """Whether a path leads to a model, in any spelling that the routes behind would take for it."""
    if path not in RELAYED:
        path = b"/" + b"/".join(part for part in unquote_to_bytes(path).split(b"/") if part)
    return path.startswith(b"/v1/") or path in (b"/v1", b"/tokenize")
