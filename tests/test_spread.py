"""What is said of files of tests is said of files that there are."""

from __future__ import annotations

from pathlib import Path

from tests.spread import LONGEST

REPOSITORY = Path(__file__).parents[1]


def test_every_long_file_is_there() -> None:
    """One that was renamed would come among the last, unnoticed."""
    assert [named for named in LONGEST if not list(REPOSITORY.glob(f"{named}*"))] == []
