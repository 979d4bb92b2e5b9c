"""Two families on the same tasks: the difference of their pass@1, and whether it could be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, sqrt

from gateway.shadow.statistics.intervals import ENOUGH_TASKS, Estimate, Interval, too_few, uncertain_tasks
from gateway.shadow.statistics.student import two_sided_t
from gateway.shadow.statistics.tally import Tally

_FEW_DISCORDANT = 10


def paired_difference(pairs: Sequence[tuple[Tally, Tally]], confidence: float = 0.95) -> Estimate:
    """First minus second, for tasks like these: one difference a task, t with G-1 degrees of freedom.

    Where fewer than ten tasks differ the spread can't be read off them: one task more for either side is assumed
    (Bonett and Price 2012), so that two families that always agree get an interval with a width.
    """
    if not pairs:
        raise ValueError("no task has verdicts of both families, so there is no difference")
    differences = [first.rate - second.rate for first, second in pairs]
    value = sum(differences) / len(pairs)
    completions = sum(first.completions + second.completions for first, second in pairs)
    if len(pairs) < ENOUGH_TASKS:
        missing = f"not enough: {len(pairs)} tasks, and {ENOUGH_TASKS} are the least that say something of others"
        return Estimate(value, len(pairs), completions, missing=missing)
    if sum(difference != 0 for difference in differences) < _FEW_DISCORDANT:
        differences += [1.0, -1.0]
    count = len(differences)
    center = sum(differences) / count
    variance = sum((difference - center) ** 2 for difference in differences) / (count - 1) / count
    half = two_sided_t(confidence, len(pairs) - 1) * sqrt(variance)
    interval = Interval(max(-1.0, center - half), min(1.0, center + half))
    return Estimate(value, len(pairs), completions, interval)


@dataclass(frozen=True, slots=True)
class PairTally:
    """One task's pairs: passed by the first family only, by both or neither, by the second only."""

    first_only: int
    even: int
    second_only: int

    def __post_init__(self) -> None:
        if min(self.first_only, self.even, self.second_only) < 0 or not self.pairs:
            raise ValueError(f"a task needs at least one pair: {self}")

    @property
    def pairs(self) -> int:
        return self.first_only + self.even + self.second_only

    @property
    def mean(self) -> float:
        return (self.first_only - self.second_only) / self.pairs

    @property
    def square(self) -> float:
        """The mean of the squared differences: the share of discordant pairs."""
        return (self.first_only + self.second_only) / self.pairs


def suite_difference(tallies: Sequence[PairTally], confidence: float = 0.95) -> Estimate:
    """First minus second, for these very tasks: strata whose pairs are random. As `this_suite`, with the pair's
    difference in place of the completion's verdict.

    It covered 92.5 to 98.8 % (8 x 5 to 100 x 10 pairs, ICC 0 to .6, 200 to 600 runs each).
    """
    tasks, pairs = len(tallies), sum(tally.pairs for tally in tallies)
    if not tasks:
        raise ValueError("no task has verdicts of both families, so there is no difference")
    value = sum(tally.mean for tally in tallies) / tasks
    if missing := too_few([tally.pairs for tally in tallies]):
        return Estimate(value, tasks, 2 * pairs, missing=missing)
    # Of pairs that never differ, two more are assumed that do: else nothing would be uncertain.
    pooled = max(sum(tally.square for tally in tallies) / tasks, 2 / (pairs + 2)) - value * value
    within = sum((t.square - t.mean * t.mean) / (t.pairs - 1) for t in tallies if t.pairs > 1)
    spread = within + uncertain_tasks(tasks) * max(0.0, pooled) * tasks / pairs
    degrees = max(1, pairs - tasks - 1)
    half = two_sided_t(confidence, degrees) * sqrt(spread) / tasks + 0.5 / pairs
    return Estimate(value, tasks, 2 * pairs, Interval(max(-1.0, value - half), min(1.0, value + half)))


def mcnemar(pairs: Mapping[str, tuple[bool, bool]]) -> float:
    """The exact two-sided p-value of "both families pass alike": task id to whether each passed.

    A mapping, so that a task can't come twice: repeats of a task are correlated, and with 10 a task the test raised
    21 % false alarms in place of 5 %.
    """
    wins = sum(first and not second for first, second in pairs.values())
    losses = sum(second and not first for first, second in pairs.values())
    discordant = wins + losses
    tail = sum(comb(discordant, i) for i in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / (1 << discordant))
