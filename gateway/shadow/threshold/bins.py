"""Tasks and live prompts by bins of length, and the same resampled.

Bin k holds lengths above candidate k and up to candidate k + 1; live prompts above the last candidate have one more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from math import fsum
from random import Random

from gateway.shadow.threshold.inputs import Costs, LivePrompt, TaskDifference
from gateway.shadow.threshold.isotonic import antitone


class Tasks:
    """`taken` names tasks, each as often as it counts."""

    def __init__(self, differences: Sequence[TaskDifference], candidates: Sequence[int]) -> None:
        self._bins = len(candidates) - 1
        by_task: dict[str, list[tuple[int, float]]] = {}
        for item in differences:
            place = bisect_left(candidates, item.prompt_tokens) - 1
            if place < self._bins:  # what is longer can't be asked of the short family at any candidate
                by_task.setdefault(item.task, []).append((place, item.difference))
        if not by_task:
            raise ValueError("no task has a difference at a length that a candidate would send to the short family")
        self.all = tuple(tuple(rows) for rows in by_task.values())

    def resampled(self, rng: Random) -> list[tuple[tuple[int, float], ...]]:
        return rng.choices(self.all, k=len(self.all))

    def counts(self) -> list[int]:
        counts = [0] * self._bins
        for rows in self.all:
            for place, _ in rows:
                counts[place] += 1
        return counts

    def means(self, taken: Sequence[tuple[tuple[int, float], ...]]) -> tuple[list[float], list[int]]:
        """Of each bin, and of how many. An empty bin has the next longer one's mean (the next shorter one's at the
        end): longer prompts are taken to be no better for the short family."""
        sums, counts = [0.0] * self._bins, [0] * self._bins
        for rows in taken:
            for place, difference in rows:
                sums[place] += difference
                counts[place] += 1
        means: list[float | None] = [
            total / count if count else None for total, count in zip(sums, counts, strict=True)
        ]
        return _filled(means), counts

    def fit(self, means: Sequence[float], counts: Sequence[int]) -> list[float]:
        """The means as they would be if the difference never rises with length. Empty bins weigh almost nothing."""
        return antitone(means, [count or 1e-9 for count in counts])

    def effective(self, traffic: Sequence[float]) -> list[float]:
        """Kish's effective number of tasks up to each candidate but the first, weighted to be as long as traffic is."""
        counts = self.counts()
        per_row = [share / count if count else 0.0 for share, count in zip(traffic, counts, strict=False)]
        weights = [0.0] * len(self.all)
        found = []
        for bin_ in range(self._bins):
            for task, rows in enumerate(self.all):
                weights[task] += per_row[bin_] * sum(place == bin_ for place, _ in rows)
            squares = fsum(weight * weight for weight in weights)
            found.append(fsum(weights) ** 2 / squares if squares else 0.0)
        return found

    def differing(self) -> list[int]:
        """How many tasks up to each candidate but the first make a difference at all."""
        first = [min((place for place, difference in rows if difference), default=self._bins) for rows in self.all]
        return [sum(place <= bin_ for place in first) for bin_ in range(self._bins)]


class Traffic:
    """Of each hour and bin: weight of the prompts, and what they cost with either family. Raises ValueError where it
    is from less than two hours, which can't tell how hours differ."""

    def __init__(self, prompts: Sequence[LivePrompt], candidates: Sequence[int], costs: Costs) -> None:
        bins = len(candidates)
        hours: dict[str, list[float]] = {}
        for prompt in prompts:
            row = hours.setdefault(prompt.hour, [0.0] * (3 * bins))
            place = bisect_left(candidates, prompt.prompt_tokens) - 1
            lengths = prompt.prompt_tokens, prompt.output_tokens
            row[place] += prompt.weight
            row[bins + place] += prompt.weight * costs.short(*lengths)
            row[2 * bins + place] += prompt.weight * costs.long(*lengths)
        if len(hours) < 2:
            raise ValueError(f"live prompts of {len(hours)} hours can't tell how hours differ: give at least two")
        self._bins = bins
        self._hours = tuple(tuple(row) for row in hours.values())
        self.whole = self._summed(self._hours)

    def resampled(self, rng: Random) -> list[float]:
        return self._summed(rng.choices(self._hours, k=len(self._hours)))

    def weights(self, row: Sequence[float]) -> list[float]:
        return list(row[: self._bins])

    def costs(self, row: Sequence[float]) -> list[float]:
        """GPU-seconds a request at each candidate."""
        bins = self._bins
        total = fsum(row[:bins])
        short = [0.0, *accumulate(row[bins : 2 * bins])]
        long = [0.0, *accumulate(row[2 * bins :])]
        return [(short[k] + long[-1] - long[k]) / total for k in range(bins)]

    @staticmethod
    def _summed(rows: Sequence[Sequence[float]]) -> list[float]:
        return [fsum(column) for column in zip(*rows, strict=True)]


def losses(means: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Mean loss of pass@1 on the prompts up to each candidate but the first; 0 where there are no prompts."""
    lost = accumulate(-mean * weight for mean, weight in zip(means, weights, strict=False))
    return [loss / weight if weight else 0.0 for loss, weight in zip(lost, accumulate(weights), strict=False)]


def _filled(means: Sequence[float | None]) -> list[float]:
    filled: list[float] = []
    following: float | None = None
    for mean in reversed(means):
        following = mean if mean is not None else following
        filled.append(following if following is not None else 0.0)
    filled.reverse()
    last = max(place for place, mean in enumerate(means) if mean is not None)
    return [mean if place <= last else filled[last] for place, mean in enumerate(filled)]
