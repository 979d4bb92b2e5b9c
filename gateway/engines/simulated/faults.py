"""Which requests go wrong, and how: set at the start, switched on and off at runtime, or asked for by a request.

Only requests that generate are hit, except by ``refuse``, which hits every route but our own under /sim, and
``unhealthy``, which hits /health alone. Draws follow from the seed and the order in which requests arrive.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from gateway.engines.simulated.errors import bad_request

Kind = Literal[
    "refuse",  # the connection closes as soon as the request's head is there; nothing is read, nothing said
    "reset-before-head",  # RST once the answer could begin
    "reset-after-head",  # RST behind the head
    "reset-mid-stream",  # RST in the middle of the body
    "stall-before-head",  # nothing is said, until the client leaves
    "stall-mid-stream",  # nothing more is said, until the client leaves
    "slow",  # everything takes `factor` times as long
    "truncate",  # a clean close (FIN) in the middle: no last chunk, or less than content-length
    "garbage-head",  # bytes that are no HTTP, then a close
    "garbage-chunk",  # a chunk without a size, then a close
    "garbage-frame",  # one event's (or the body's) JSON is broken, in whole HTTP
    "error-event",  # a stream ends as vLLM's does when the engine fails; a whole answer is the 500
    "rate-limited",  # 429 with Retry-After, as a proxy in front of vLLM sends it: vLLM itself has none
    "overloaded",  # vLLM's 503 of a full queue; with Retry-After, if `retry_after` is given
    "internal-error",  # vLLM's 500
    "context-overflow",  # vLLM's 400 of a prompt that is too long
    "unhealthy",  # /health answers 503 with an empty body, as it does when the engine has died
]
KINDS: tuple[Kind, ...] = get_args(Kind)
HEADER = b"x-simulate-fault"


class Fault(BaseModel):
    """``rate``: of the requests that it can hit; ``count``: how many it hits before it ends, without limit if None.

    ``after`` is for what strikes mid-stream: how many events come first (fewer if there are fewer; never the last).
    ``factor`` is for ``slow`` alone, ``retry_after`` (seconds) for ``rate-limited`` and ``overloaded``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    count: Annotated[int, Field(gt=0)] | None = None
    after: Annotated[int, Field(ge=0)] = 2
    factor: Annotated[float, Field(ge=1)] = 10.0
    retry_after: Annotated[int, Field(ge=0)] | None = None

    def applies_to(self, path: str) -> bool:
        if path.startswith("/sim/"):
            return False
        if self.kind == "refuse":
            return True
        return path == "/health" if self.kind == "unhealthy" else path in GENERATING


GENERATING = ("/v1/chat/completions", "/v1/completions")


class Faults:
    """The faults in force, in the order in which they were set; a request suffers the first that strikes."""

    def __init__(self, faults: Iterable[Fault], *, seed: int, by_header: bool) -> None:
        self._active = list(faults)
        self._hits = [0] * len(self._active)
        self._random = Random(seed)
        self._by_header = by_header

    def strike(self, path: str, headers: dict[bytes, bytes]) -> Fault | None:
        """What happens to this request. Raises the 400 of a header that names no fault."""
        asked = headers.get(HEADER)
        if asked is not None and self._by_header:
            fault = next((Fault(kind=kind) for kind in KINDS if kind.encode() == asked), None)
            if fault is None:
                raise bad_request(f"x-simulate-fault names no fault; known: {', '.join(KINDS)}", "x-simulate-fault")
            return fault if fault.applies_to(path) else None
        for number, fault in enumerate(self._active):
            if not fault.applies_to(path) or self._is_spent(number):
                continue
            if fault.rate == 1 or self._random.random() < fault.rate:
                self._hits[number] += 1
                return fault
        return None

    def add(self, fault: Fault) -> None:
        """In place of the fault of that kind, if there is one."""
        self.clear(fault.kind)
        self._active.append(fault)
        self._hits.append(0)

    def clear(self, kind: str | None = None) -> None:
        """Ends the faults of one kind, or all of them."""
        both = zip(self._active, self._hits, strict=True)
        kept = [(fault, hits) for fault, hits in both if kind not in (None, fault.kind)]
        self._active = [fault for fault, _ in kept]
        self._hits = [hits for _, hits in kept]

    def table(self) -> list[dict[str, Any]]:
        """The faults that can still strike, with how often they have."""
        return [
            {**fault.model_dump(), "hits": hits}
            for number, (fault, hits) in enumerate(zip(self._active, self._hits, strict=True))
            if not self._is_spent(number)
        ]

    def _is_spent(self, number: int) -> bool:
        count = self._active[number].count
        return count is not None and self._hits[number] >= count
