"""A day's tokens of mirrors or of canaries: reserved before, settled after, and known again after a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from gateway.shadow.canary.ledger import Ledger
from gateway.shadow.sending.client import Answer
from gateway.shadow.sending.writing import StoreWriter
from gateway.shadow.store import Counter, Evidence, day_of


class Spending:
    """`reason`: "canary" or "mirror". Days are UTC's. For one event loop.

    Other processes' tokens are those of the start: each of several processes may spend what was left then.
    """

    def __init__(self, reason: str, writer: StoreWriter, now: Callable[[], float]) -> None:
        """`now`: seconds since 1970."""
        self._reason = reason
        self._writer = writer
        self._now = now
        self.ledger = Ledger(self.time().date())

    def restore(self, evidence: Evidence) -> None:
        """What the store knows of today. Blocks, and raises StoreUnavailable; to be called before anything is sent.

        What was reserved by a process that was killed is lost: it never learnt what that cost.
        """
        now = self._now()
        spent: dict[str, int] = {}
        for total in evidence.totals(now, now):
            today = total.day == day_of(now)
            if today and total.counter is Counter.TOKENS and total.reason == self._reason:
                spent[total.model] = spent.get(total.model, 0) + total.value
        self.ledger = Ledger(self.time().date(), spent)

    def time(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    def used(self, model: str) -> int:
        self.ledger = self.ledger.on(self.time())
        return self.ledger.used(model)

    def reserve(self, id: str, tokens: Mapping[str, int]) -> None:
        self.ledger = self.ledger.reserve(id, tokens, self.time())

    def settle(self, id: str, answers: Mapping[str, Answer], reserved: Mapping[str, int]) -> None:
        """`answers` by model; one that is missing was broken off. Where the cost is not known it was all of it."""
        used = dict(reserved)
        for model, answer in answers.items():
            used[model] = reserved[model] if answer.spent is None else answer.spent
        self.ledger = self.ledger.settle(id, used)
        for model, tokens in used.items():
            self._writer.count(Counter.TOKENS, tokens, model=model, reason=self._reason)
