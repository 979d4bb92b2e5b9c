"""How many of the people are there, by the share of the time that has passed."""

from __future__ import annotations

import math

_STEPS = 4
_SPIKE = (0.4, 0.6)  # from which share of the time to which
_BEFORE_AND_AFTER = 0.2


def steps(share: float, users: int) -> int:
    """A quarter of them, half, three quarters, all. ``share``: of the time that has passed, 0 to 1."""
    return math.ceil(users * min(_STEPS, int(share * _STEPS) + 1) / _STEPS)


def spike(share: float, users: int) -> int:
    """All at once for a fifth of the time, in its middle; a fifth of them before and after."""
    return users if _SPIKE[0] <= share < _SPIKE[1] else math.ceil(users * _BEFORE_AND_AFTER)
