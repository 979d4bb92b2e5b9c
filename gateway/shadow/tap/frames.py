"""What goes from the gateway to the shadow process, and back: messages in MessagePack, each behind its length.

Both ends are of one version: the gateway starts the process. Four bytes, little-endian, say how long a message is.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

_LENGTH = 4
LONGEST = 64 * 1024 * 1024


class Observed(msgspec.Struct, array_like=True, tag=1, gc=False):
    """One sampled live request and its answer, as bytes came.

    `at`: seconds since 1970. `model`: the one that answered. `prompt_tokens`: the rendered prompt in the routing
    tokenizer, as it was counted or estimated for the decision; `bound`: it has at most, or at least, so many. `body`:
    the client's. `answer`: what the client got, server-sent events or one JSON document; empty if it was cancelled.
    `used_in`, `used_out`: tokens by the model server's usage, 0 if it gave none.
    """

    request_id: str
    at: float
    key: str
    route: str
    model: str
    prompt_tokens: int
    bound: bool
    propensity: float
    body: bytes
    answer: bytes
    stream: bool
    cancelled: bool
    used_in: int
    used_out: int


class Counted(msgspec.Struct, array_like=True, tag=2, gc=False):
    """What the tap of one gateway process (`source`: no other's name) has counted on a day (UTC, as 2026-11-29).

    `sampled` by model, `dropped` by reason. `live`: live requests since its start, sampled or not.
    """

    source: str
    day: str
    live: int
    sampled: dict[str, int]
    dropped: dict[str, int]


class Missed(msgspec.Struct, array_like=True, tag=3, gc=False):
    """Nobody listened to `source` from `since` until now: what was sampled then is lost.

    `again`: somebody had listened before, and what was on its way to him is lost as well.
    """

    source: str
    again: bool
    since: float
    until: float


class Exposition(msgspec.Struct, array_like=True, tag=4, gc=False):
    """Back to the gateway: the shadow process's metrics, as text for a scrape."""

    text: bytes


Message = Observed | Counted | Missed | Exposition

_encoder = msgspec.msgpack.Encoder()
_decode = msgspec.msgpack.Decoder(Message).decode


def frame(message: Message) -> bytearray:
    buffer = bytearray(_LENGTH)
    _encoder.encode_into(message, buffer, _LENGTH)
    buffer[:_LENGTH] = (len(buffer) - _LENGTH).to_bytes(_LENGTH, "little")
    return buffer


class Frames:
    """Messages out of what a socket gives. Raises ValueError (msgspec's too) for what is none of ours."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= _LENGTH:
                length = int.from_bytes(buffer[at : at + _LENGTH], "little")
                if length > LONGEST:
                    raise ValueError(f"a message of {length:,} bytes")
                if len(buffer) - at - _LENGTH < length:
                    break
                message = _decode(memoryview(buffer)[at + _LENGTH : at + _LENGTH + length])
                at += _LENGTH + length
                yield message
        finally:
            del buffer[:at]
