from datetime import UTC, datetime


def parse_iso(text: str) -> datetime:
    """Parse an ISO 8601 date or timestamp. The result is always in UTC; a missing offset means UTC.

    Raises ValueError for text that is not a date.
    """
    cleaned = text.strip()
    if cleaned.endswith(("Z", "z")):
        cleaned = cleaned[:-1] + "+00:00"
    parsed = datetime.fromisoformat(cleaned)
    if parsed.tzinfo is None:
        return parsed.replace(tzinfo=UTC)
    return parsed.astimezone(UTC)
