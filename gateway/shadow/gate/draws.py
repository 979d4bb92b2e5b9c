"""What the gate is fed, in the order in which it happened: pairs, controls, re-runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Of evidence; kinds are never pooled. The names are those of reports."""

    LIVE_EXACT = "live-exact"
    LIVE_NEAR = "live-near"
    MIRROR = "mirror"
    CANARY = "canary"


class Outcome(StrEnum):
    """Of one run of one family."""

    PASS = "pass"
    FAIL = "fail"
    TIMEOUT = "timeout"
    LENGTH = "length"
    """The answer was cut at its limit of tokens: a fail."""
    ERROR = "error"
    """Our own fault: no verdict."""
    SHED = "shed"
    """Not run, because of load or budget: no verdict."""
    CANCELLED = "cancelled"
    BEYOND_WINDOW = "beyond window"
    """The prompt does not fit this family, so there is nothing to pair."""

    @property
    def passed(self) -> bool | None:
        """None where there is no verdict."""
        return _PASSED.get(self)


_PASSED = {Outcome.PASS: True, Outcome.FAIL: False, Outcome.TIMEOUT: False, Outcome.LENGTH: False}
_NEVER_A_PAIR = (Outcome.CANCELLED, Outcome.BEYOND_WINDOW)


@dataclass(frozen=True, slots=True)
class Served:
    """One family as it was served. `revision` of the weights; the others in whatever words tell two of them apart."""

    family: str
    model: str
    revision: str
    engine: str
    quantisation: str
    template: str
    sampling: str


@dataclass(frozen=True, slots=True)
class StreamKey:
    """All that has to stay the same for draws to be of one distribution. `form`: complete, instruct or chat turns."""

    first: Served
    second: Served
    suite: str
    sandbox: str
    form: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One independent draw: both families ran once on the same prompt of so many tokens (routing tokenizer)."""

    key: StreamKey
    prompt_tokens: int
    first: Outcome
    second: Outcome
    kind: Kind = Kind.CANARY

    @property
    def difference(self) -> int | None:
        """First minus second, passes counting 1: -1 where only the second passed. None without both verdicts."""
        first, second = self.first.passed, self.second.passed
        return None if first is None or second is None else int(first) - int(second)

    @property
    def never_a_pair(self) -> bool:
        """Cancelled, or too long for one of the families: counted, and in no bounds."""
        return self.first in _NEVER_A_PAIR or self.second in _NEVER_A_PAIR

    @property
    def worst(self) -> int:
        """The difference if what has no verdict had gone against the first family."""
        return int(self.first.passed or False) - int(self.second.passed is not False)

    @property
    def best(self) -> int:
        """The difference if what has no verdict had gone in favour of the first family."""
        return int(self.first.passed is not False) - int(self.second.passed or False)


@dataclass(frozen=True, slots=True)
class Control:
    """A sample with a known verdict, run among the pairs: a task's canonical solution, or else a known-bad one."""

    key: StreamKey
    canonical: bool
    outcome: Outcome

    @property
    def failing(self) -> bool:
        """Whether the verdict is wrong. One without a verdict shows nothing."""
        return self.outcome.passed is not None and self.outcome.passed is not self.canonical


@dataclass(frozen=True, slots=True)
class Rerun:
    """An answer that was scored a second time."""

    key: StreamKey
    before: Outcome
    again: Outcome

    @property
    def flipped(self) -> bool | None:
        """None where one of the two is no verdict."""
        before, again = self.before.passed, self.again.passed
        return None if before is None or again is None else before is not again


Event = Pair | Control | Rerun
