"""Are planted worlds recognised?

`python -m tests.gateway.shadow.threshold.measure` makes, for each seed, tasks with Beta rates (mean .6) that both
families run four times, and 72 hours of traffic (2,880 prompts). delta is .05, candidates are half an octave apart.

Measured with 1,140 tasks, 100 seeds (standard error 1 to 3 points):

- crossover at 2,048 tokens, 6 points an octave: found within an octave in 100 %, its interval holds it in 99 %. (T is
  the largest candidate: gains on short prompts make up for the losses.) With the tail limited to .05, which it reaches
  at 3,649 tokens, T is within an octave of that in 98 %; median 2,896.
- the long family better by a point everywhere, and from 4,096 tokens by 6 points more an octave: by quality alone T = 0
  in 99 %; cost takes T above 0, up to what quality allows, in 91 %; what T loses in truth is allowed in 100 %.
- no T meets both quality and the long pool's utilisation (300 tasks): said, with these two names, in 100 %.

Where delta is just lost at every length (400 seeds, standard error 1 point), nothing but T = 0 may be recommended: so
it was in 96.3 % (300 tasks), 93.8 % (300, ICC .6) and 95.8 % (60); 95 are claimed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from gateway.shadow.threshold.recommendation import Limit, Recommendation, Status
from tests.gateway.shadow.threshold.worlds import (
    CROSSING,
    CROSSOVER,
    DOMINANCE,
    FLAT,
    INFEASIBLE,
    TAIL_LIMITED,
    World,
    recommended,
    true_loss,
)

SEED = 20230209
DELTA = 0.05


def crossover_found(answer: Recommendation) -> bool:
    """Within an octave."""
    return answer.status is Status.RECOMMENDED and CROSSING / 2 <= answer.quality_alone <= CROSSING * 2


def tail_found(answer: Recommendation) -> bool:
    """Within an octave of where the difference is -.05."""
    return answer.threshold is not None and 3_649 / 2 <= answer.threshold <= 3_649 * 2


def crossover_covered(answer: Recommendation) -> bool:
    return answer.crossover[0] <= CROSSING <= answer.crossover[1]


def quality_says_none(answer: Recommendation) -> bool:
    return answer.quality_alone == 0


def chosen_by_cost(answer: Recommendation) -> bool:
    """Cost takes the threshold up to what quality allows."""
    return bool(answer.threshold) and answer.binding in ((), (Limit.QUALITY,))


def conflict_named(answer: Recommendation) -> bool:
    return answer.status is Status.INFEASIBLE and answer.conflict == (Limit.QUALITY, Limit.LONG_UTILISATION)


def allowed(world: World) -> Callable[[Recommendation], bool]:
    """What is recommended loses at most delta in truth."""
    return lambda answer: not answer.threshold or true_loss(world, answer.threshold) < DELTA


MEASURES: dict[str, tuple[World, dict[str, Callable[[Recommendation], bool]], int, int, float]] = {
    "crossover": (CROSSOVER, {"found": crossover_found, "interval": crossover_covered}, 100, 1_140, 0.3),
    "tail limited": (TAIL_LIMITED, {"found": tail_found}, 100, 1_140, 0.3),
    "dominance": (
        DOMINANCE,
        {"quality alone says 0": quality_says_none, "chosen by cost": chosen_by_cost, "allowed": allowed(DOMINANCE)},
        100,
        1_140,
        0.3,
    ),
    "infeasible": (INFEASIBLE, {"conflict named": conflict_named}, 100, 300, 0.3),
    "flat": (FLAT, {"nothing that is not allowed": allowed(FLAT)}, 400, 300, 0.3),
    "flat and uneven": (FLAT, {"nothing that is not allowed": allowed(FLAT)}, 400, 300, 0.6),
    "few tasks": (FLAT, {"nothing that is not allowed": allowed(FLAT)}, 400, 60, 0.3),
}


def shares(name: str, runs: int | None = None, seed: int = SEED) -> tuple[dict[str, float], list[int]]:
    """How often each was so, and the thresholds (-1: none)."""
    world, questions, usual, tasks, icc = MEASURES[name]
    runs = runs or usual
    answers = [recommended(world, seed + run, tasks, icc=icc) for run in range(runs)]
    found = {asked: sum(map(is_so, answers)) / runs for asked, is_so in questions.items()}
    return found, [-1 if answer.threshold is None else answer.threshold for answer in answers]


def main() -> None:
    for name in sys.argv[1:] or MEASURES:
        found, thresholds = shares(name)
        listed = ", ".join(f"{asked} {share:.3f}" for asked, share in found.items())
        ordered = sorted(thresholds)
        tenths = [ordered[len(ordered) * tenth // 10] for tenth in (1, 5, 9)]
        print(f"{name}: {len(ordered)} seeds: {listed}; T at 10, 50, 90 %: {tenths}", flush=True)


if __name__ == "__main__":
    main()
