"""How often the gate is wrong when it is looked at after every draw, and how many draws it needs.

`python -m tests.gateway.shadow.gate.measure` plants, for every stream, two buckets of 40 tasks with Beta rates (mean
.6) and an exact deficit, 60 and 40 % of the draws. Allowed: .05; alpha .05. Measured on 300 streams a setting
(standard error at most .8 points where few are wrong), looked at after every pair; pairs are those of both buckets:

- no deficit, ICC .3, 6,000 pairs: violated 0 %, holds 74 %, after 4,347 (median).
- a deficit of exactly .05 in both, ICC .3, 4,000 pairs: holds 0 %, violated .3 %.
- of exactly .05 in one, the other far better, so that the one decides, 4,000 pairs: holds 0 % and violated 1 % at ICC
  0, 1.7 and .3 % at ICC .6.
- of .1 in the larger bucket: violated within 12,000 pairs in 99.7 % at ICC .3 (median 2,926, 90 %: 5,886) and at ICC
  .6 (2,368, 4,964); of .2: 99.3 % (350, 667). The few that are missing stay undecided.
- `stakes`: pairs of one bucket until a mean of -.05 is refuted, median and 90 % of 200 streams. A mean of 0 and 40 %
  discordant: 1,420 and 3,010, with `ConfidenceSequence` 2,002 and 6,441; 20 %: 702 and 1,489 (760, 2,142). A mean of
  -.1 and 40 %: 1,264 and 2,644 (2,456, 6,311).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import quantiles

from gateway.shadow.gate.decide import Gate
from gateway.shadow.gate.decision import Answer
from gateway.shadow.gate.draws import Pair
from gateway.shadow.gate.sequence import MeanSequence
from gateway.shadow.statistics.betting import ConfidenceSequence
from tests.gateway.shadow.gate.worlds import TWO_BUCKETS, stream

SEED = 20230209
RUNS = 300


@dataclass(frozen=True)
class Shares:
    """Of streams, that had each answer after some draw; and after how many pairs it came (`length` + 1: never)."""

    holds: float
    violated: float
    holds_after: list[int]
    violated_after: list[int]


def answers(
    deficits: tuple[float, float], icc: float, runs: int, length: int, seed: int, until: Answer | None = None
) -> Shares:
    """Looks after every draw; a stream ends after `length` pairs, or with the answer `until`."""
    random = Random(seed)
    after: dict[Answer, list[int]] = {Answer.HOLDS: [], Answer.VIOLATED: []}
    for _ in range(runs):
        first_seen: dict[Answer, int] = {}
        gate = Gate(TWO_BUCKETS)
        pairs = 0
        for event in stream(random, deficits, icc, length):
            gate.add(event)
            pairs += isinstance(event, Pair)
            first_seen.setdefault(gate.answer, pairs)
            if until in first_seen:
                break
        for answer, seen in after.items():
            seen.append(first_seen.get(answer, length + 1))
    holds, violated = after[Answer.HOLDS], after[Answer.VIOLATED]
    found = [sum(pairs <= length for pairs in seen) / runs for seen in (holds, violated)]
    return Shares(*found, holds, violated)


def pairs_to_settle(up: float, down: float, runs: int, seed: int, most: int = 30_000) -> tuple[list[int], list[int]]:
    """Pairs until a mean of -delta is refuted: by the gate's fixed stakes, by `ConfidenceSequence` on the same draws.

    `up` and `down`: the chances of 1 and -1.
    """
    random = Random(seed)
    found: tuple[list[int], list[int]] = [], []
    low = -1 - 2 * TWO_BUCKETS.delta  # two steps make one candidate, the middle: that is -delta
    for _ in range(runs):
        drawn = random.choices((1, 0, -1), (up, 1 - up - down, down), k=most)
        fixed, falling = MeanSequence(TWO_BUCKETS.alpha, -TWO_BUCKETS.delta), ConfidenceSequence(low, 1, steps=2)
        found[0].append(_until(drawn, fixed.add, lambda fixed=fixed: fixed.excludes(-TWO_BUCKETS.delta)))
        found[1].append(_until(drawn, falling.add, lambda falling=falling: falling.lower > low or falling.upper < 1))
    return found


def _until(drawn: Sequence[int], add: Callable[[int], None], settled: Callable[[], bool]) -> int:
    for pairs, difference in enumerate(drawn, 1):
        add(difference)
        if settled():
            return pairs
    return len(drawn) + 1


SETTINGS: tuple[tuple[tuple[float, float], float, int, Answer | None], ...] = (
    ((0.0, 0.0), 0.3, 6000, None),
    ((0.05, 0.05), 0.3, 4000, None),
    ((0.05, -0.2), 0.0, 4000, None),
    ((0.05, -0.2), 0.6, 4000, None),
    ((0.1, 0.0), 0.3, 12_000, Answer.VIOLATED),
    ((0.1, 0.0), 0.6, 12_000, Answer.VIOLATED),
    ((0.2, 0.0), 0.3, 12_000, Answer.VIOLATED),
)


def report_stakes() -> None:
    print("pairs until a mean of -.05 is refuted (median, 90 %; 200 streams): fixed stakes, falling stakes")
    for up, down in ((0.2, 0.2), (0.1, 0.1), (0.15, 0.25)):
        deciles = [quantiles(pairs, n=10) for pairs in pairs_to_settle(up, down, 200, SEED)]
        print(up, down, *(f"{tenths[4]:.0f} {tenths[8]:.0f}" for tenths in deciles), flush=True)


def main() -> None:
    if sys.argv[1:] == ["stakes"]:
        return report_stakes()
    print(f"{RUNS} streams a setting, delta {TWO_BUCKETS.delta}, alpha {TWO_BUCKETS.alpha}, seed {SEED}")
    print("deficits, ICC, pairs: ever holds, ever violated; pairs of both buckets until then (median, 90 %)")
    for deficits, icc, length, until in [SETTINGS[int(place)] for place in sys.argv[1:]] or SETTINGS:
        shares = answers(deficits, icc, RUNS, length, SEED, until)
        deciles = [quantiles(after, n=10) for after in (shares.holds_after, shares.violated_after)]
        needed = ", ".join(f"{tenths[4]:.0f} {tenths[8]:.0f}" for tenths in deciles)
        print(f"{deficits} {icc} {length}: {shares.holds:.4f} {shares.violated:.4f}; {needed}", flush=True)
    return None


if __name__ == "__main__":
    main()
