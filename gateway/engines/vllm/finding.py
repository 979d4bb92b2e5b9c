"""One thing that stands in the way of a start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """``fatal``: nothing is started. Otherwise it is a warning."""

    message: str
    fatal: bool = True
