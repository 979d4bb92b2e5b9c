"""A confidence sequence for the mean of bounded draws: look after every draw, stop any time, and it still holds."""

from __future__ import annotations

from math import log, sqrt

_LARGEST_STAKE = 0.5
"""Of the capital, in one draw: it can then never be lost whole."""


class ConfidenceSequence:
    """Hedged capital with predictable plug-in bets (Waudby-Smith and Ramdas 2023, theorem 3).

    Draws are independent, in [low, high], of one distribution: for a family's deficit the draw is first minus second,
    in {-1, 0, 1}. With probability at least `confidence` the mean lies strictly between `lower` and `upper` after
    every draw at once. Both only ever close in.

    Each candidate mean has two players, one betting that the mean is above it, one below; a player whose capital
    reaches 2 / (1 - confidence) refutes the candidate. The first player's capital falls as candidates rise, so
    a refuted candidate takes all lower ones along: a grid of `steps` loses width, never validity. A draw costs one
    pass over the candidates that are left.
    """

    def __init__(self, low: float = 0.0, high: float = 1.0, *, confidence: float = 0.95, steps: int = 1000) -> None:
        if not low < high or not 0 < confidence < 1 or steps < 2:
            raise ValueError(f"no confidence sequence on [{low}, {high}] at {confidence} with {steps} steps")
        self.draws = 0
        self._low, self._width = low, high - low
        self._refuted = 2 / (1 - confidence)
        self._lower, self._upper = 0.0, 1.0
        self._candidates = [step / steps for step in range(1, steps)]
        self._above = [1.0] * (steps - 1)
        self._below = [1.0] * (steps - 1)
        self._sum, self._squares = 0.5, 0.25  # as if one draw had been seen: mean 1/2, variance 1/4

    @property
    def lower(self) -> float:
        return self._low + self._width * self._lower

    @property
    def upper(self) -> float:
        return self._low + self._width * self._upper

    def excludes(self, mean: float) -> bool:
        """Whether the draws so far refute this mean: a bound that has moved is refuted itself."""
        scaled = (mean - self._low) / self._width
        below = scaled < 0 or (self._lower > 0 and scaled <= self._lower)
        return below or scaled > 1 or (self._upper < 1 and scaled >= self._upper)

    def add(self, value: float) -> None:
        """One draw; raises ValueError outside [low, high]."""
        draw = (value - self._low) / self._width
        if not 0 <= draw <= 1:
            raise ValueError(f"{value} is not within [{self._low}, {self._low + self._width}]")
        self._bet(draw)
        self._sum += draw
        self._squares += (draw - self._sum / (self.draws + 1)) ** 2
        self._refute()

    def _bet(self, draw: float) -> None:
        """Stakes rest on earlier draws only; that is what makes the capital a fair game."""
        self.draws += 1
        variance = self._squares / self.draws
        stake = sqrt(2 * log(self._refuted) / (variance * self.draws * log(1 + self.draws)))
        most = _LARGEST_STAKE
        candidates = self._candidates
        self._above = [
            capital * (1 + min(stake, most / mean) * (draw - mean))
            for capital, mean in zip(self._above, candidates, strict=True)
        ]
        self._below = [
            capital * (1 - min(stake, most / (1 - mean)) * (draw - mean))
            for capital, mean in zip(self._below, candidates, strict=True)
        ]

    def _refute(self) -> None:
        candidates, first, last = self._candidates, 0, len(self._candidates)
        while first < last and self._above[first] >= self._refuted:
            self._lower = candidates[first]
            first += 1
        while first < last and self._below[last - 1] >= self._refuted:
            self._upper = candidates[last - 1]
            last -= 1
        if (first, last) != (0, len(candidates)):
            self._candidates, self._above, self._below = (
                kept[first:last] for kept in (candidates, self._above, self._below)
            )
