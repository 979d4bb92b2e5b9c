"""When an endpoint is left out after failures, and when it comes back. Pure: the caller brings the time, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Conduct(Enum):
    """How one attempt ended, as far as it tells something of the endpoint.

    What a client causes (4xx, leaving, a deadline for the whole request) tells nothing and is `NEUTRAL`: a peer's
    breaker that counted oversized prompts took its whole fleet out.
    """

    ANSWERED = "answered"
    NEUTRAL = "neutral"
    BUSY = "busy"
    FAILED = "failed"


def conduct_of(status: int) -> Conduct:
    """What a model server's status alone says; a good one says nothing until the answer is complete.

    429 and 503 are back-pressure. 501 is what servers say to a request that they don't support.
    """
    if status in (429, 503):
        return Conduct.BUSY
    if status >= 500 and status != 501:
        return Conduct.FAILED
    return Conduct.NEUTRAL


@dataclass(frozen=True, slots=True)
class EjectionRule:
    """After ``failures`` in a row an endpoint is out for ``seconds``, doubled each time up to ``longest``.

    Of a pool of n at most ``share`` x n are out at the same time, rounded down: the rest would have to bear it all.
    """

    failures: int = 3
    seconds: float = 5.0
    longest: float = 60.0
    share: float = 0.5


class Health:
    """One endpoint's recent conduct. ``ejected_until`` and ``held_until`` are times; 0 is long ago.

    Held means: it said it is busy, and gets no attempt while another endpoint can take it.
    """

    __slots__ = ("ejected_until", "ejections", "failures", "held_until")

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self.ejections = 0  # since it last answered
        self.ejected_until = 0.0
        self.held_until = 0.0

    def answered(self) -> None:
        self.failures = self.ejections = 0

    def busy(self, now: float, seconds: float) -> None:
        self.held_until = max(self.held_until, now + seconds)

    def failed(self, now: float, rule: EjectionRule, out: int, size: int) -> bool:
        """Whether this failure ejects it. ``out``: others of its pool, which has ``size``, that are down or ejected.

        An endpoint that has come back is out again with its next failure. What fails while it is out began before.
        """
        if now < self.ejected_until:
            return False
        self.failures += 1
        if self.failures < rule.failures or out + 1 > rule.share * size:
            return False
        self.ejected_until = now + min(rule.longest, rule.seconds * 2.0 ** min(self.ejections, 30))
        self.ejections += 1
        self.failures = rule.failures - 1
        return True
