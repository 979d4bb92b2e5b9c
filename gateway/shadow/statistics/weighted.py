"""Means of draws that were not all equally likely: Hájek's estimator, with tasks as clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt

from gateway.shadow.statistics.intervals import ENOUGH_TASKS, Interval, wilson
from gateway.shadow.statistics.student import two_sided_t

_FEW_DIFFERING = 10
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class TaskSum:
    """One task's draws: the sums of their weights, of weight times value, and of the weights' squares."""

    weight: float
    value: float
    squares: float


@dataclass(frozen=True, slots=True)
class Weighted:
    """`stands_for`: the sum of the weights; with weights 1 / propensity that is Horvitz and Thompson's estimate of how
    many there were to draw from. `effective` and `effective_tasks`: Kish's numbers of draws and of tasks. Without an
    interval `missing` says why.
    """

    value: float
    stands_for: float
    effective: float
    effective_tasks: float
    interval: Interval | None = None
    missing: str = ""


def kish(total: float, squares: float) -> float:
    """How many equal weights are worth as much as these."""
    return total * total / squares if squares else 0.0


def weighted_rate(tasks: Sequence[TaskSum], confidence: float = 0.95) -> Weighted | None:
    """Of values 0 and 1; None if nothing has a weight. Its interval is for tasks like these, Wilson's."""
    mean = _mean(tasks)
    if mean is None or mean.missing:
        return mean
    value = min(1.0, max(0.0, mean.value))
    pooled, variance = value * (1 - value), _variance(tasks, value)
    certain = min(pooled, variance) < _ROUNDING
    effective = mean.effective_tasks if certain else min(pooled / variance, mean.effective)
    interval = wilson(value, effective, 0.0, _quantile(confidence, mean))
    return Weighted(value, mean.stands_for, mean.effective, mean.effective_tasks, interval)


def weighted_difference(tasks: Sequence[TaskSum], confidence: float = 0.95) -> Weighted | None:
    """Of values -1 to 1; None if nothing has a weight. As in `paired_difference`, one task more for either side is
    assumed where fewer than ten tasks differ."""
    mean = _mean(tasks)
    if mean is None or mean.missing:
        return mean
    taken, center = list(tasks), mean.value
    if sum(task.value != 0 for task in tasks) < _FEW_DIFFERING:
        usual = mean.stands_for / len(tasks)
        taken += [TaskSum(usual, usual, 0.0), TaskSum(usual, -usual, 0.0)]
        center = fsum(task.value for task in taken) / fsum(task.weight for task in taken)
    half = _quantile(confidence, mean) * sqrt(_variance(taken, center))
    interval = Interval(max(-1.0, center - half), min(1.0, center + half))
    return Weighted(mean.value, mean.stands_for, mean.effective, mean.effective_tasks, interval)


def _mean(tasks: Sequence[TaskSum]) -> Weighted | None:
    total = fsum(task.weight for task in tasks)
    if total <= 0:
        return None
    value = fsum(task.value for task in tasks) / total
    effective = kish(total, fsum(task.squares for task in tasks))
    effective_tasks = kish(total, fsum(task.weight * task.weight for task in tasks))
    missing = ""
    if effective_tasks < ENOUGH_TASKS:
        missing = f"not enough: they weigh as {effective_tasks:.3g} equal tasks, and {ENOUGH_TASKS} are the least"
    return Weighted(value, total, effective, effective_tasks, missing=missing)


def _variance(tasks: Sequence[TaskSum], mean: float) -> float:
    """Of a ratio of two sums over tasks, by linearisation."""
    total = fsum(task.weight for task in tasks)
    squares = fsum((task.value - mean * task.weight) ** 2 for task in tasks)
    return squares * len(tasks) / (len(tasks) - 1) / (total * total)


def _quantile(confidence: float, mean: Weighted) -> float:
    return two_sided_t(confidence, max(1, int(mean.effective_tasks) - 1))
