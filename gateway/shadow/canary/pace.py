"""When the next canary is due."""

from __future__ import annotations

from gateway.shadow.canary.plan import PerHour, PerLiveRequest

_LOOKS = 4  # in the time between two draws: with one, each would come late by what a look takes


def seconds_between_looks(rate: PerHour | PerLiveRequest) -> float:
    """At most one; a quarter of the time between two draws where that is less."""
    return min(1.0, 3_600 / rate.per_hour / _LOOKS) if isinstance(rate, PerHour) else 1.0


def is_due(rate: PerHour | PerLiveRequest, *, hours: float, live_requests: int) -> bool:
    """Whether to draw, so long and so many live requests after the last draw (or the start).

    Counted from the last one, so that what was missed in a stop or a busy hour never comes in a burst.
    """
    if isinstance(rate, PerHour):
        return rate.per_hour * hours >= 1
    return rate.per_live_request * live_requests >= 1
