"""Which live requests become samples. Nobody is sampled who did not opt in, and a header opts out of one request.

A request's id decides, so every worker and every replay decides alike, and who is sampled at a rate is also sampled at
a higher one. The rate stays with the sample as its propensity: figures weight by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

OPT_OUT = b"x-yardstick-shadow"
"""The header with which a client keeps one request out."""

_REFUSALS = frozenset((b"off", b"no", b"false", b"0"))
_WHOLE = 1 << 64


@dataclass(frozen=True, slots=True)
class Sampling:
    """Rates are shares of requests, 0 to 1; the rates of the client's key and of the model are multiplied.

    ``keys``: by a key's name; who is not in it is not sampled. ``keyless``: of a gateway that asks for no keys.
    ``models``: by the model that answers; those that are not in it count as 1. ``salt`` makes another choice.
    Raises ValueError for what is no share.
    """

    keys: Mapping[str, float] = field(default_factory=dict)
    keyless: float = 0.0
    models: Mapping[str, float] = field(default_factory=dict)
    salt: bytes = b""

    def __post_init__(self) -> None:
        for name, rate in (*self.keys.items(), ("requests without a key", self.keyless), *self.models.items()):
            if not 0 <= rate <= 1:
                raise ValueError(f"the sampling rate of {name} is {rate:g}, and has to be a share, 0 to 1")

    def propensity(self, key: str, model: str) -> float:
        """The share of such requests that become samples. ``key`` is the client's name, empty without one."""
        rate = self.keys.get(key, 0.0) if key else self.keyless
        return rate and rate * self.models.get(model, 1.0)

    def takes(self, request_id: bytes, propensity: float) -> bool:
        """Whether the request with this id is one of them."""
        if propensity >= 1.0:
            return True
        digest = blake2b(request_id, digest_size=8, key=self.salt[:64]).digest()
        return int.from_bytes(digest) < propensity * _WHOLE


def opted_out(header: bytes | None) -> bool:
    """``header``: the value of `OPT_OUT`, None if the request has none."""
    return header is not None and header.strip().lower() in _REFUSALS
