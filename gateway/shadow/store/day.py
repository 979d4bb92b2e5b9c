"""Days, which counters are kept by."""

from __future__ import annotations

from datetime import UTC, datetime


def day_of(at: float) -> str:
    """The day in UTC, as 2026-11-29, of a time in seconds since 1970."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()
