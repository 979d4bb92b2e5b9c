"""One bucket of one stream: its pairs so far, their bounds, and how many more it would take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count, islice

from gateway.shadow.gate.draws import Pair
from gateway.shadow.statistics.betting import ConfidenceSequence

STEPS = 1000
"""Of the grid of means: 0.002 apart."""

MOST_NEEDED = 50_000
"""No forecast goes further: nobody runs more."""

_ROUNDING = 1e-9
_GOLDEN = 0.6180339887498949
_ASSUMED_PAIRS, _ASSUMED_DISCORDANT = 10, 4


@dataclass(frozen=True, slots=True)
class Bounds:
    lower: float
    upper: float


class BucketDraws:
    """Pairs in order of drawing, and two confidence sequences for the mean difference.

    `bounds` hold with 1 - alpha, `joint` with 1 - alpha / buckets, so that all buckets' joint ones hold together with
    1 - alpha. Both only ever close in, so that `holds` and `violated` once true stay true.
    """

    def __init__(self, delta: float, alpha: float, buckets: int, steps: int = STEPS) -> None:
        self.first_only = self.second_only = self.dropped = self.never_pairs = 0
        self.pairs: list[Pair] = []
        self._delta, self._alpha, self._alpha_joint, self._steps = delta, alpha, alpha / buckets, steps
        self._alone = self._sequence(self._alpha)
        self._joint = self._alone if buckets == 1 else self._sequence(self._alpha_joint)

    def add(self, pair: Pair) -> None:
        if pair.never_a_pair:
            self.never_pairs += 1
            return
        self.pairs.append(pair)
        difference = pair.difference
        if difference is None:
            self.dropped += 1
            return
        self.first_only += difference > 0
        self.second_only += difference < 0
        self._alone.add(difference)
        if self._joint is not self._alone:
            self._joint.add(difference)

    @property
    def n(self) -> int:
        """Pairs with two verdicts."""
        return self._alone.draws

    @property
    def mean(self) -> float:
        return (self.first_only - self.second_only) / self.n if self.n else 0.0

    @property
    def bounds(self) -> Bounds:
        return Bounds(self._alone.lower, self._alone.upper)

    @property
    def joint(self) -> Bounds:
        return Bounds(self._joint.lower, self._joint.upper)

    @property
    def holds(self) -> bool:
        """The deficit is shown to be less than delta. A bound that has moved is refuted itself, so equality will do."""
        return self._alone.lower >= -self._delta - _ROUNDING

    @property
    def violated(self) -> bool:
        """The deficit is shown to be more than delta, at alpha / buckets."""
        return self._joint.upper <= -self._delta + _ROUNDING

    @property
    def drifted(self) -> bool:
        """The mean of the draws lies outside bounds that earlier ones gave: they are not of one distribution.

        If they are, the mean leaves bounds only where these are about to miss the truth: with a chance of about alpha.
        """
        return self.n > 0 and self._alone.excludes(self.mean)

    def if_dropped(self) -> tuple[Bounds, Bounds]:
        """The bounds if all that was dropped had gone against the first family, and in its favour.

        Dropped pairs are put first. They come in bursts, and bounds never open again, so that those of a late burst
        would not show; put first they make the lower bound of the one and the upper bound of the other cautious.
        """
        if not self.dropped:
            return self.bounds, self.bounds
        pairs = sorted(self.pairs, key=lambda pair: pair.difference is not None)
        return self._replayed(pair.worst for pair in pairs), self._replayed(pair.best for pair in pairs)

    def needed(self) -> int | None:
        """How many pairs more are expected to settle this bucket; 0 if it is settled, None if over 50,000.

        A betting sequence for the one mean -delta is given the draws so far, and then an expected path: 1, 0 and -1 as
        often as they were seen, evenly mixed (multiples of the golden ratio, so the same every time). Ten pairs of
        which two went either way are added to what was seen: few draws, or none, are no certainty. Towards "holds" if
        the mean is then above -delta, else towards "violated". Luck decides how many it really takes: the forecast is
        a typical number, not a bound.
        """
        if self.holds or self.violated:
            return 0
        pairs = self.n + _ASSUMED_PAIRS
        up = (self.first_only + _ASSUMED_DISCORDANT / 2) / pairs
        down = (self.second_only + _ASSUMED_DISCORDANT / 2) / pairs
        alpha = self._alpha if up - down > -self._delta else self._alpha_joint
        # Two steps make one candidate, the middle: with this lower end that is -delta.
        low = -1 - 2 * self._delta
        sequence = ConfidenceSequence(low, 1, confidence=1 - alpha, steps=2)
        for pair in self.pairs:
            if pair.difference is not None:
                sequence.add(pair.difference)
        for place in islice(count(1), MOST_NEEDED):
            part = place * _GOLDEN % 1
            sequence.add(-1 if part < down else 1 if part >= 1 - up else 0)
            if sequence.lower > low or sequence.upper < 1:
                return place
        return None

    def _replayed(self, differences: Iterable[int]) -> Bounds:
        sequence = self._sequence(self._alpha)
        for difference in differences:
            sequence.add(difference)
        return Bounds(sequence.lower, sequence.upper)

    def _sequence(self, alpha: float) -> ConfidenceSequence:
        return ConfidenceSequence(-1, 1, confidence=1 - alpha, steps=self._steps)
