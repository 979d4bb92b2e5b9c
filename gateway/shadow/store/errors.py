"""The one error of the store."""

from __future__ import annotations


class StoreUnavailable(Exception):
    """Says what is wrong, where, and what to do. Quotes no password, no prompt and no answer.

    Whatever was being written may be written again: all writes are idempotent.
    """

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"the store of shadow-eval is not available: {what}; {where}. {remedy}")
        self.what = what
        self.where = where
        self.remedy = remedy
