"""The decision, from everything that was drawn, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import fsum

from gateway.shadow.gate.bucket import BucketDraws
from gateway.shadow.gate.decision import Answer, BucketReport, Decision
from gateway.shadow.gate.draws import Control, Event, Pair, Rerun, StreamKey
from gateway.shadow.gate.policy import Policy
from gateway.shadow.gate.sequence import Bounds
from gateway.shadow.gate.stream import Stream

_CONTROLS = {True: "canonical", False: "known-bad"}


class Gate:
    """Takes events one by one and can be asked after each: looking more often makes no wrong answer likelier.

    *Holds* (exit code 0): every bucket's deficit is shown to be less than delta. *Violated* (1): some bucket's is shown
    to be more. Both *undecided* (2) otherwise, and whenever the verdicts themselves are in doubt: a failing or missing
    control, flips on re-run, too many pairs without a verdict, draws that are not of one distribution.

    Why "holds" needs no correction for several buckets, and "violated" does: "holds" is wrong only if some bucket is
    too bad, and then that bucket's own bound has to be wrong as well, which has a chance of alpha / 2 however many
    others there are (an intersection-union test). "Violated" is wrong if any of the bounds is, so each is asked at
    alpha / buckets. Bounds have two sides and each answer uses one, so that either is wrong in at most alpha / 2.

    A sequence of bounds that looks after every draw needs independent draws of one distribution in each bucket: tasks
    drawn at random with fixed weights, one run each. What changes that distribution is in the stream's key; a change,
    also one back to what was before, starts a new stream with an alpha of its own. Who starts streams until one holds
    defeats the guarantee; so their number is reported. Policies may be changed in delta over the same draws, in other
    numbers not.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._stream: Stream | None = None
        self._number = self._earlier = 0
        self._other_kinds: Counter[str] = Counter()

    def add(self, event: Event) -> None:
        """The next in order. Raises ValueError for one that compares other models than the policy."""
        self._check(event.key)
        match event:
            case Pair():
                if event.kind is self._policy.evidence:
                    self._of(event.key).pair(event)
                else:
                    self._other_kinds[event.kind.value] += 1
            case Control():
                self._of(event.key).control(event)
            case Rerun():
                # An answer of an earlier stream may be scored again later; that starts nothing.
                if self._stream is not None and self._stream.key == event.key:
                    self._stream.rerun(event)

    @property
    def answer(self) -> Answer:
        """That of `decision`, for little."""
        if self._stream is None or next(self._stream.blockers(), None) is not None:
            return Answer.UNDECIDED
        answers = [_answer(bucket) for bucket in self._stream.buckets]
        if Answer.VIOLATED in answers:
            return Answer.VIOLATED
        return max(answers)

    def decision(self) -> Decision:
        stream = self._stream
        reports = tuple(self._reports())
        return Decision(
            answer=self.answer,
            reasons=tuple(self._reasons(reports)),
            buckets=reports,
            overall=_overall(reports),
            stream=self._number,
            key=stream.key if stream else None,
            pairs_of_earlier=self._earlier,
            outside=stream.outside if stream else 0,
            other_kinds=dict(self._other_kinds),
            controls={name: stream.controls[side] if stream else 0 for side, name in _CONTROLS.items()},
            failing_controls={name: stream.failing[side] if stream else 0 for side, name in _CONTROLS.items()},
            reruns=stream.reruns if stream else 0,
            flips=stream.flips if stream else 0,
        )

    def _check(self, key: StreamKey) -> None:
        policy = self._policy
        for which, served, side in (("first", key.first, policy.first), ("second", key.second, policy.second)):
            if (served.family, served.model) != (side.family, side.model):
                given = f"{served.model} ({served.family})"
                raise ValueError(f"the {which} of these draws is {given}, the policy's {side.model} ({side.family})")

    def _of(self, key: StreamKey) -> Stream:
        if self._stream is None or self._stream.key != key:
            self._earlier += self._stream.pairs if self._stream else 0
            self._number += 1
            self._stream = Stream(key, self._policy)
        return self._stream

    def _reports(self) -> Iterable[BucketReport]:
        policy = self._policy
        empty = BucketDraws(policy.delta, policy.alpha, len(policy.buckets))
        buckets = self._stream.buckets if self._stream else [empty] * len(policy.buckets)
        for name, settings, bucket in zip(policy.names, policy.buckets, buckets, strict=True):
            yield _report(name, settings.weight, bucket)

    def _reasons(self, reports: tuple[BucketReport, ...]) -> Iterable[str]:
        if self._stream is None:
            yield f"no {self._policy.evidence} pairs were drawn"
            return
        if self._earlier:
            yield (
                f"this is stream {self._number:,}: what was served or scored with has changed, and {self._earlier:,}"
                " pairs of earlier streams do not count"
            )
        yield from self._stream.blockers()
        for report in reports:
            yield _reason(report, self._policy.delta)


def decide(events: Iterable[Event], policy: Policy) -> Decision:
    """What `Gate` answers after these events, in order. Raises ValueError if one compares other models."""
    gate = Gate(policy)
    for event in events:
        gate.add(event)
    return gate.decision()


def _answer(bucket: BucketDraws) -> Answer:
    if bucket.violated:
        return Answer.VIOLATED
    return Answer.HOLDS if bucket.holds else Answer.UNDECIDED


def _report(name: str, weight: float, bucket: BucketDraws) -> BucketReport:
    if_fail, if_pass = bucket.if_dropped()
    return BucketReport(
        name=name,
        weight=weight,
        answer=_answer(bucket),
        n=bucket.n,
        mean=bucket.mean if bucket.n else None,
        bounds=bucket.bounds,
        joint=bucket.joint,
        first_only=bucket.first_only,
        second_only=bucket.second_only,
        dropped=bucket.dropped,
        never_pairs=bucket.never_pairs,
        if_dropped_fail=if_fail,
        if_dropped_pass=if_pass,
        needed=bucket.needed(),
    )


def _overall(reports: tuple[BucketReport, ...]) -> tuple[float, Bounds] | None:
    """Joint bounds hold for all buckets together, and so does any weighted sum of them."""
    if any(report.mean is None for report in reports):
        return None
    mean = fsum(report.weight * (report.mean or 0.0) for report in reports)
    lower = fsum(report.weight * report.joint.lower for report in reports)
    return mean, Bounds(lower, fsum(report.weight * report.joint.upper for report in reports))


def _reason(report: BucketReport, delta: float) -> str:
    if report.answer is Answer.VIOLATED:
        says = f"the difference is below {report.joint.upper:+.3f}: a deficit of more than {delta:g}"
    elif report.answer is Answer.HOLDS:
        says = f"the difference is above {report.bounds.lower:+.3f}: a deficit of less than {delta:g}"
    else:
        needed = "over 50,000" if report.needed is None else f"about {report.needed:,}"
        # The two bounds that decide: the other two may already lie on one side.
        says = (
            f"the difference lies between {report.bounds.lower:+.3f} and {report.joint.upper:+.3f}, on both sides of"
            f" {-delta:g}; {needed} pairs more are expected to be needed"
        )
    if report.answer is Answer.HOLDS and report.if_dropped_fail.lower < -delta:
        says += f". If the {report.dropped:,} dropped pairs had gone against the first, this would not be shown"
    return f"{report.name}: {says}"
