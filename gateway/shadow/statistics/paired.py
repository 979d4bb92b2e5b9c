"""Two families on the same tasks: the difference of their pass@1, and whether it could be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb, sqrt

from gateway.shadow.statistics.intervals import ENOUGH_TASKS, Estimate, Interval
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
