"""The day's budget: a value that says whether a canary may be sent now, and why not. Days are UTC's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum

from gateway.shadow.canary.plan import Plan


class Reason(StrEnum):
    """Why nothing is sent."""

    OFF = "off"
    BUSY = "busy"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Refusal:
    """`model`: whose budget is spent; "" for other reasons."""

    reason: Reason
    model: str = ""

    def __str__(self) -> str:
        return {
            Reason.OFF: "canaries are not switched on",
            Reason.BUSY: "live traffic needs the models now",
            Reason.BUDGET: f"the day's tokens of {self.model} are spent; the next day begins at 00:00 UTC",
        }[self.reason]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Tokens of `day`, by model: `spent`, and `reserved` by canaries (by id) that are still under way.

    Whether one may be sent does not depend on how long it is: else the end of each day would refuse the long ones,
    and lengths would no longer be drawn by their weights. So a day ends over its budget by less than one reservation.
    """

    day: date
    spent: Mapping[str, int] = field(default_factory=dict)
    reserved: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def on(self, now: datetime) -> Ledger:
        """The ledger of `now`'s day: a new one on a later day, this one otherwise (clocks may be set back).

        Raises ValueError for a time without a zone.
        """
        if now.tzinfo is None:
            raise ValueError("a time without a zone is on no day of UTC")
        today = now.astimezone(UTC).date()
        return self if today <= self.day else Ledger(today)

    def used(self, model: str) -> int:
        """Spent, and held by reservations."""
        return self.spent.get(model, 0) + sum(tokens.get(model, 0) for tokens in self.reserved.values())

    def refusal(self, plan: Plan, now: datetime, *, busy: bool) -> Refusal | None:
        """None if a canary may be sent. `busy`: the caller's judgement of its pools; canaries are shed first."""
        if not plan.enabled:
            return Refusal(Reason.OFF)
        if busy:
            return Refusal(Reason.BUSY)
        today = self.on(now)
        for side in (plan.first, plan.second):
            if today.used(side.model) >= side.daily_tokens:
                return Refusal(Reason.BUDGET, side.model)
        return None

    def reserve(self, id: str, tokens: Mapping[str, int], now: datetime) -> Ledger:
        """With the most that a canary can cost each model (prompt in its own tokens, and `max_tokens`).

        The same id again changes nothing: work may be handed out twice.
        """
        today = self.on(now)
        if id in today.reserved:
            return today
        return replace(today, reserved={**today.reserved, id: dict(tokens)})

    def settle(self, id: str, used: Mapping[str, int]) -> Ledger:
        """Its reservation becomes what it used, by `usage`. One of an earlier day, or settled before, is ignored."""
        if id not in self.reserved:
            return self
        spent = {model: self.spent.get(model, 0) + used.get(model, 0) for model in self.spent.keys() | used.keys()}
        return replace(self, spent=spent, reserved={key: held for key, held in self.reserved.items() if key != id})
