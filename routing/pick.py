"""Which endpoint of a pool gets the next attempt."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Protocol, TypeVar

from routing.health import Health

# An endpoint keeps its preferred prompts while it carries at most so many times the mean load, plus a slack. The
# factor is the usual one of consistent hashing with bounded loads (arXiv 1608.01350).
BOUND = 1.25

_MASK = 2**64 - 1


class Endpoint(Protocol):
    """``up``: its probe succeeds. ``load``: tokens of the attempts in flight. ``salt``: the same in every process."""

    @property
    def up(self) -> bool: ...

    @property
    def load(self) -> int: ...

    @property
    def salt(self) -> int: ...

    @property
    def health(self) -> Health: ...


E = TypeVar("E", bound=Endpoint)


def available(endpoints: Sequence[E], now: float, tried: Container[E] = ()) -> list[E]:
    """Those that may get an attempt: up, not ejected, not tried; of these the ones that are not busy, if there are."""
    able = [each for each in endpoints if each.up and each.health.ejected_until <= now and each not in tried]
    return [each for each in able if each.health.held_until <= now] or able


def pick(
    candidates: Sequence[E],
    *,
    turn: int = 0,
    affinity: int | None = None,
    slack: int = 0,
    draw: Callable[[int], int] | None = None,
) -> E | None:
    """One of the ``candidates`` (`available`); None if there are none.

    With an ``affinity`` (equal for prompts that begin alike) the same endpoint gets it each time, in every process,
    as long as its load is at most `BOUND` times the mean and ``slack`` tokens: rendezvous hashing, so that an endpoint
    that comes or goes moves only its own prompts. Without one the least loaded gets it, from place ``turn`` on among
    equals; with ``draw(n)``, a random number below n, the less loaded of two drawn: several processes that each know
    only their own load would otherwise all choose the same one.
    """
    count = len(candidates)
    if count < 2:
        return candidates[0] if candidates else None
    if affinity is not None:
        limit = BOUND * sum(each.load for each in candidates) / count + slack
        cool = [each for each in candidates if each.load <= limit]
        return max(cool, key=lambda each: _weight(affinity, each.salt))
    if draw is not None:
        first, step = draw(count), 1 + draw(count - 1)
        one, other = candidates[first], candidates[(first + step) % count]
        return one if one.load <= other.load else other
    start = turn % count
    return min((*candidates[start:], *candidates[:start]), key=lambda each: each.load)


def _weight(affinity: int, salt: int) -> int:
    """A number that looks random for each pair: the finishing steps of splitmix64."""
    mixed = (affinity + salt) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
