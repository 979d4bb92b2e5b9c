"""How often one task's completions passed, and pass@k from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, slots=True)
class Tally:
    """One task's completions. Those with verdict `error` are our own fault and are not in here."""

    passed: int
    completions: int

    def __post_init__(self) -> None:
        if not 0 <= self.passed <= self.completions or self.completions == 0:
            raise ValueError(f"{self.passed} of {self.completions} completions passed: a task needs at least one")

    @property
    def rate(self) -> float:
        return self.passed / self.completions


def pass_at_k(tally: Tally, k: int) -> float:
    """The chance that at least one of `k` completions passes, unbiased (Chen et al. 2021); `k` at most completions."""
    if not 1 <= k <= tally.completions:
        raise ValueError(f"pass@{k} needs at least {max(k, 1)} completions a task, and k at least 1: {tally}")
    failed = tally.completions - tally.passed
    return 1.0 - prod(1 - k / i for i in range(failed + 1, tally.completions + 1)) if failed >= k else 1.0


def mean_pass_at_k(tallies: Sequence[Tally], k: int = 1) -> float:
    """Over tasks: each counts the same, whatever its number of completions."""
    if not tallies:
        raise ValueError("no task has a verdict, so there is no rate")
    rates = (pass_at_k(tally, k) for tally in tallies) if k != 1 else (tally.rate for tally in tallies)
    return sum(rates) / len(tallies)
