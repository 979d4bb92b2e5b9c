"""What tells a canary from live traffic: to a model server's prefix cache, and to our own metrics and affinity."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode

HEADER = b"x-yardstick-canary"
"""On requests within the gateway. As all of our own headers it is not sent on to model servers."""

_DIGEST = "sha256"


def cache_salt(secret: bytes, id: str, attempt: int = 0) -> str:
    """The value of a canary's `cache_salt`.

    vLLM 0.32 puts it into the hash of a prompt's first block, and each block's hash goes into the next one's, so
    prompts share cached blocks only under the same salt. It has to be 1 to 128 characters without `@`, `/`, backslash
    and NUL, and its documentation asks for 256 random bits (43 characters of base64). One salt for each attempt: all
    are cold, whatever either family's cache holds, also where the same task or the same files came before, and no live
    prompt finds a canary's blocks. It can't keep a canary from taking room: its blocks push others out as any do.
    """
    return _sealed(secret, f"salt/{attempt}/{id}")


def mark(secret: bytes, id: str) -> bytes:
    """The header's value, for an id in ASCII. A client that has no secret can't make one: its requests are live."""
    return f"{id}.{_sealed(secret, f'mark/{id}')}".encode("ascii")


def marked(secret: bytes, value: bytes | None) -> str | None:
    """The canary's id, if the header's value is a true one. Metrics and affinity leave such a request out."""
    id, _, seal = (value or b"").decode("latin-1").rpartition(".")
    if not id or not hmac.compare_digest(seal.encode(), _sealed(secret, f"mark/{id}").encode()):
        return None
    return id


def _sealed(secret: bytes, text: str) -> str:
    return urlsafe_b64encode(hmac.digest(secret, text.encode(), _DIGEST)).decode().rstrip("=")
