"""What chance does to losses, costs and the crossover: tasks and trace hours are drawn anew, together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log, sqrt
from random import Random
from statistics import NormalDist, stdev
from typing import TypeVar

from gateway.shadow.statistics.student import two_sided_t
from gateway.shadow.threshold.bins import Tasks, Traffic, losses

_FEW_DIFFERING = 10

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Replicates:
    """A row each: loss up to each candidate but the first, cost at each candidate, and the place of the crossover."""

    losses: list[list[float]]
    costs: list[list[float]]
    crossovers: list[int]


def replicates(tasks: Tasks, traffic: Traffic, count: int, rng: Random) -> Replicates:
    drawn = Replicates([], [], [])
    for _ in range(count):
        row = traffic.resampled(rng)
        means, counts = tasks.means(tasks.resampled(rng))
        drawn.losses.append(losses(means, traffic.weights(row)))
        drawn.costs.append(traffic.costs(row))
        drawn.crossovers.append(crossover(tasks.fit(means, counts)))
    return drawn


def crossover(fit: Sequence[float]) -> int:
    """The place among the candidates up to which the short family is better: 0 if nowhere."""
    return sum(difference > 0 for difference in fit)


def upper_losses(
    found: Sequence[float],
    drawn: Replicates,
    usable: Sequence[bool],
    tasks: Tasks,
    effective: Sequence[float],
    level: float,
) -> list[float]:
    """Upper bounds of the losses up to each candidate but the first, that hold together with probability `level`.

    Together, because the cheapest of all candidates is picked: of twenty bounds that hold one by one, the one that is
    luckiest may not. So the quantile is that of the largest deviation over all `usable` candidates, in standard errors
    of the bootstrap, widened as t is against the normal distribution. These losses come from the bins' own means: the
    monotone fit's means of all shorter bins are never lower, so its losses are too small on average. That the
    difference never rises with length is used once: then no loss is more than one up to a longer length, and takes
    the least of their bounds. Where fewer than ten tasks make a difference, a bound is at least as far from the loss as
    that of a chance that never came up (-ln(1 - level) / n).
    """
    columns = list(zip(*drawn.losses, strict=True))
    spreads = [stdev(column) for column in columns]
    count = len(tasks.all)
    stretch = sqrt(count / (count - 1)) if count > 1 else 1.0
    largest = sorted(
        max((_deviation(found[k], row[k], spreads[k]) for k in range(len(found)) if usable[k]), default=0.0)
        for row in drawn.losses
    )
    quantile = max(percentile(largest, level), NormalDist().inv_cdf(level))
    upper = []
    for k, differing in enumerate(tasks.differing()):
        wider = two_sided_t(2 * level - 1, max(1, int(effective[k]) - 1)) / NormalDist().inv_cdf(level)
        bound = found[k] + quantile * wider * stretch * spreads[k]
        if differing < _FEW_DIFFERING and effective[k]:
            bound = max(bound, found[k] - log(1 - level) / effective[k])
        upper.append(min(1.0, bound) if usable[k] else 1.0)
    return [min(upper[k:]) for k in range(len(upper))]


def regrets(drawn: Replicates, feasible: Sequence[int], level: float) -> dict[int, float]:
    """Of each feasible place: how much dearer it is than the cheapest, as a share, at most and with `level`."""
    columns: dict[int, list[float]] = {place: [] for place in feasible}
    for row in drawn.costs:
        least = min(row[place] for place in feasible)
        for place in feasible:
            columns[place].append(row[place] / least - 1)
    return {place: percentile(sorted(column), level) for place, column in columns.items()}


def percentile(ordered: Sequence[Number], level: float) -> Number:
    return ordered[min(len(ordered) - 1, max(0, ceil(level * (len(ordered) + 1)) - 1))]


def _deviation(found: float, drawn: float, spread: float) -> float:
    return (found - drawn) / spread if spread else 0.0
