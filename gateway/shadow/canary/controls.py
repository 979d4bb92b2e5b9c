"""Controls: samples whose verdicts are known before, run among the pairs, so that scoring that breaks is noticed."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.shadow.canary.design import Design
from gateway.shadow.canary.draw import seeded
from gateway.shadow.suites.task import Suite

_RAISES = '    raise NotImplementedError("a known-bad control")\n'


@dataclass(frozen=True, slots=True)
class KnownSample:
    """`solution` begins with the entry point's body, as a task's `canonical_solution`; nothing is sent to a model."""

    id: str
    task_id: str
    canonical: bool
    solution: str


def controls_before(design: Design, number: int, suite: Suite, every: int) -> tuple[KnownSample, ...]:
    """What to score before the pair of this number: two controls before the first pair and each `every` after it.

    So the gate's `pairs_per_control`, if it is `every` or more, is met as long as all have verdicts. Tasks are drawn
    uniformly from the suite. Known-bad is one of the task's own wrong solutions, or one that raises where it has none.
    """
    if number % every:
        return ()
    name = f"{design.seed}/{design.digest}/{number}"
    random = seeded(name, "controls")
    tasks = [suite.tasks[task_id] for task_id in sorted(suite.tasks)]
    right, wrong = random.choice(tasks), random.choice(tasks)
    bad = random.choice(wrong.wrong) if wrong.wrong else _RAISES
    return (
        KnownSample(f"{design.digest}-{number}-canonical", right.task_id, True, right.canonical_solution),
        KnownSample(f"{design.digest}-{number}-known-bad", wrong.task_id, False, bad),
    )
