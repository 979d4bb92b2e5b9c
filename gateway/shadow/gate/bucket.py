"""One bucket of one stream: its pairs so far, their bounds, and how many more it would take."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from math import log

from gateway.shadow.gate.draws import Pair
from gateway.shadow.gate.sequence import Bounds, Counts, MeanSequence, log_capital

MOST_NEEDED = 50_000
"""No forecast goes further: nobody runs more."""

_ASSUMED = Counts(up=2, even=6, down=2)


class BucketDraws:
    """Pairs in order of drawing, and two confidence sequences for the mean difference.

    `bounds` hold with 1 - alpha, `joint` with 1 - alpha / buckets, so that all buckets' joint ones hold together with
    1 - alpha. Both only ever close in, so that `holds` and `violated` once true stay true.
    """

    def __init__(self, delta: float, alpha: float, buckets: int) -> None:
        self.dropped = self.never_pairs = 0
        self._delta, self._alpha, self._alpha_joint = delta, alpha, alpha / buckets
        self._seen, self._worst, self._best = Counter[int](), Counter[int](), Counter[int]()
        self._alone = MeanSequence(self._alpha, around=-delta)
        self._joint = self._alone if buckets == 1 else MeanSequence(self._alpha_joint, around=-delta)

    def add(self, pair: Pair) -> None:
        if pair.never_a_pair:
            self.never_pairs += 1
            return
        self._worst[pair.worst] += 1
        self._best[pair.best] += 1
        difference = pair.difference
        if difference is None:
            self.dropped += 1
            return
        self._seen[difference] += 1
        self._alone.add(difference)
        if self._joint is not self._alone:
            self._joint.add(difference)

    @property
    def n(self) -> int:
        """Pairs with two verdicts."""
        return self._alone.draws

    @property
    def first_only(self) -> int:
        return self._seen[1]

    @property
    def second_only(self) -> int:
        return self._seen[-1]

    @property
    def mean(self) -> float:
        return _counts(self._seen).mean

    @property
    def bounds(self) -> Bounds:
        return self._alone.bounds

    @property
    def joint(self) -> Bounds:
        return self._joint.bounds

    @property
    def holds(self) -> bool:
        """The deficit is shown to be less than delta: a bound that has moved is refuted itself."""
        return self.bounds.lower >= -self._delta

    @property
    def violated(self) -> bool:
        """The deficit is shown to be more than delta, at alpha / buckets."""
        return self.joint.upper <= -self._delta

    @property
    def drifted(self) -> bool:
        """The mean of the draws lies outside bounds that earlier ones gave: they are not of one distribution.

        If they are, the mean leaves bounds only where these are about to miss the truth: with a chance of about alpha.
        """
        return self.n > 0 and self._alone.excludes(self.mean)

    def if_dropped(self) -> tuple[Bounds, Bounds]:
        """The bounds if all that was dropped had gone against the first family, and in its favour.

        Looked at now only, whatever the order: drops come in bursts, and bounds that only close in would hide a late
        one.
        """
        if not self.dropped:
            return self.bounds, self.bounds
        return self._alone.at_once(_counts(self._worst)), self._alone.at_once(_counts(self._best))

    def needed(self) -> int | None:
        """How many pairs more are expected to settle this bucket; 0 if it is settled, None if over 50,000.

        The capital that bets on or against a mean of -delta depends on counts only, so no path has to be run: to the
        counts so far the shares seen are added until it suffices. Towards "holds" if their mean is above -delta, else
        towards "violated". Ten pairs of which two went either way are added to what was seen: few draws, or none, are
        no certainty. Luck decides how many it really takes: this is a typical number, not a bound.
        """
        if self.holds or self.violated:
            return 0
        seen = _counts(self._seen)
        shares = seen.plus(_ASSUMED, 1)
        mean, alpha = -self._delta, self._alpha
        if shares.mean <= -self._delta:
            seen, shares, mean, alpha = seen.mirrored, shares.mirrored, self._delta, self._alpha_joint
        each = 1 / shares.total

        def suffices(pairs: int) -> bool:
            return log_capital(seen.plus(shares, pairs * each), mean) >= log(2 / alpha)

        # The logarithm is convex in the pairs and too small now, so it passes what is needed at most once.
        needed = bisect_left(range(1, MOST_NEEDED + 1), True, key=suffices) + 1
        return needed if needed <= MOST_NEEDED else None


def _counts(seen: Counter[int]) -> Counts:
    return Counts(seen[1], seen[0], seen[-1])
