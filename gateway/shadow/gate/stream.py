"""One stream: everything that was drawn while nothing that is served or scored with changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gateway.shadow.gate.bucket import BucketDraws
from gateway.shadow.gate.draws import Control, Pair, Rerun, StreamKey
from gateway.shadow.gate.policy import Policy


class Stream:
    def __init__(self, key: StreamKey, policy: Policy) -> None:
        count = len(policy.buckets)
        self.key = key
        self.buckets = [BucketDraws(policy.delta, policy.alpha, count) for _ in range(count)]
        self.outside = self.pairs = self.reruns = self.flips = 0
        self.controls: Counter[bool] = Counter()
        """Right verdicts of the canonical (True) and of the known-bad samples (False)."""
        self.failing: Counter[bool] = Counter()
        self._policy = policy
        self._pairs_before = {True: 0, False: 0}

    def pair(self, pair: Pair) -> None:
        self.pairs += 1
        place = self._policy.place(pair.prompt_tokens)
        if place is None:
            self.outside += 1
        else:
            self.buckets[place].add(pair)

    def control(self, control: Control) -> None:
        if control.failing:
            self.failing[control.canonical] += 1
        elif control.outcome.passed is not None:
            self.controls[control.canonical] += 1
            self._pairs_before[control.canonical] = self.pairs

    def rerun(self, rerun: Rerun) -> None:
        if rerun.flipped is not None:
            self.reruns += 1
            self.flips += rerun.flipped

    def blockers(self) -> Iterator[str]:
        """Why nothing may be concluded, whatever the bounds are."""
        yield from self._paused()
        yield from self._unchecked()
        for place, bucket in enumerate(self.buckets):
            yield from (f"{self._policy.names[place]}: {reason}" for reason in self._doubtful(bucket))

    def _paused(self) -> Iterator[str]:
        for canonical, what in ((True, "canonical samples did not pass"), (False, "known-bad samples passed")):
            if self.failing[canonical]:
                failing, ran = self.failing[canonical], self.failing[canonical] + self.controls[canonical]
                yield (
                    f"scoring paused: {failing:,} of {ran:,} {what}, so no verdict of this stream can be trusted; mend"
                    " scoring and start a new stream"
                )

    def _unchecked(self) -> Iterator[str]:
        policy = self._policy
        for canonical, what in ((True, "canonical"), (False, "known-bad")):
            due = self.pairs - self._pairs_before[canonical] > policy.pairs_per_control
            if due or self.controls[canonical] * policy.pairs_per_control < max(1, self.pairs):
                yield (
                    f"too few controls: {self.controls[canonical]:,} {what} samples for {self.pairs:,} pairs; one in"
                    f" {policy.pairs_per_control:,} is needed, the last at most so many pairs ago"
                )
        if self.reruns < policy.least_reruns:
            yield f"{self.reruns:,} answers were scored twice; {policy.least_reruns:,} are needed"
        elif self.flips > policy.max_flip_rate * self.reruns:
            yield (
                f"verdicts flip: {self.flips:,} of {self.reruns:,} answers got another verdict when scored again; the"
                f" policy allows {policy.max_flip_rate:.1%}"
            )

    def _doubtful(self, bucket: BucketDraws) -> Iterator[str]:
        tried = bucket.n + bucket.dropped
        if bucket.dropped > self._policy.max_dropped * tried:
            yield (
                f"{bucket.dropped:,} of {tried:,} pairs lack a verdict (error or shed); the policy allows"
                f" {self._policy.max_dropped:.0%}"
            )
        if bucket.drifted:
            yield (
                f"the mean of all draws, {bucket.mean:+.3f}, lies outside the bounds that earlier ones gave: something"
                " changed within the stream; find it, and start a new one"
            )
