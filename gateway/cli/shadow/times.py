"""`--since`, `--until`, `--before`: a time, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def when(value: str) -> float:
    """Seconds since 1970. A date or time without a zone is UTC's, a date its beginning."""
    text = value.strip()
    try:
        if ago := _AGO.fullmatch(text):
            return (datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).timestamp()
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        message = f"{text!r} is neither a time (2026-11-29, 2026-11-29T14:00Z) nor an age (30m, 12h, 7d, 4w)"
        raise click.BadParameter(message) from None
