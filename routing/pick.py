"""Which endpoint of a pool gets the next attempt."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Protocol, TypeVar


class Endpoint(Protocol):
    """``up``: may be picked. ``in_flight``: attempts that have been sent and have not ended."""

    @property
    def up(self) -> bool: ...

    @property
    def in_flight(self) -> int: ...


E = TypeVar("E", bound=Endpoint)


def pick(endpoints: Sequence[E], turn: int, tried: Container[E] = ()) -> E | None:
    """The endpoint that is up and has the fewest attempts in flight; None if there is none that was not tried.

    Among equals the first at or after place ``turn`` (modulo the pool's size) wins: a caller that adds one to it each
    time spreads an idle pool's load evenly.
    """
    count = len(endpoints)
    best: E | None = None
    for step in range(count):
        endpoint = endpoints[(turn + step) % count]
        if endpoint.up and (best is None or endpoint.in_flight < best.in_flight) and endpoint not in tried:
            best = endpoint
    return best
