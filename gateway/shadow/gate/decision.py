"""What the gate answers: all that a report prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from gateway.shadow.gate.draws import StreamKey
from gateway.shadow.gate.sequence import Bounds


class Answer(IntEnum):
    """Its number is the exit code."""

    HOLDS = 0
    VIOLATED = 1
    UNDECIDED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketReport:
    """Differences are first minus second in pass@1, so -0.05 is a deficit of five points.

    `n`: pairs with two verdicts; of those `first_only` and `second_only` are discordant. `bounds` hold with 1 - alpha
    for this bucket, `joint` for all buckets together; both after every draw at once. `mean` is None without pairs.
    `if_dropped_fail` and `if_dropped_pass`: the bounds with every dropped pair, what has no verdict counted against the
    first family and in its favour. `never_pairs`: cancelled, or beyond a window. `needed`: pairs that are still
    expected to settle it (None: over 50,000).
    """

    name: str
    weight: float
    answer: Answer
    n: int
    mean: float | None
    bounds: Bounds
    joint: Bounds
    first_only: int
    second_only: int
    dropped: int
    never_pairs: int
    if_dropped_fail: Bounds
    if_dropped_pass: Bounds
    needed: int | None

    @property
    def discordant(self) -> int:
        return self.first_only + self.second_only


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`stream` counts from 1 (0: nothing was drawn); only the newest, `key`, is in any figure but `pairs_of_earlier`.

    `overall`: the buckets' means by declared weights, and its bounds; None until every bucket has pairs. `controls`
    and `failing_controls` by "canonical" and "known-bad". `outside`: pairs beyond the last bucket. `other_kinds`:
    pairs of other kinds of evidence, left out.
    """

    answer: Answer
    reasons: tuple[str, ...]
    buckets: tuple[BucketReport, ...]
    overall: tuple[float, Bounds] | None
    stream: int
    key: StreamKey | None
    pairs_of_earlier: int
    outside: int
    other_kinds: Mapping[str, int]
    controls: Mapping[str, int]
    failing_controls: Mapping[str, int]
    reruns: int
    flips: int

    @property
    def exit_code(self) -> int:
        return int(self.answer)
