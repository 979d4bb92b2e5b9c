"""A coarse clock for deadlines: read by everyone, moved by one timer.

A timer a request would cost more than the request's own parsing. Instead connections note ``clock.now`` when something
happens, and one tick every ``PERIOD`` seconds looks for those that waited too long.
"""

from __future__ import annotations

PERIOD = 0.25


class Clock:
    """``now`` is in seconds of the monotonic clock, at most one period old."""

    __slots__ = ("now",)

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
