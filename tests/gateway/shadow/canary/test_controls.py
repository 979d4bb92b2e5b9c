"""Controls: enough for the gate, and of known verdicts."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from typing import Any

import pytest

from gateway.shadow.canary.controls import controls_before
from gateway.shadow.canary.mix import LiveMix
from gateway.shadow.gate.draws import Control, Outcome
from gateway.shadow.gate.stream import Stream
from gateway.shadow.suites.task import by_id
from tests.gateway.shadow.canary.worlds import FIVE, designed, plan
from tests.gateway.shadow.gate.worlds import KEY, TWO_BUCKETS, pair

DESIGN = designed({}, LiveMix())


@pytest.mark.parametrize("every", [1, 7, plan().pairs_per_control, TWO_BUCKETS.pairs_per_control])
def test_the_gate_never_lacks_controls(every: int) -> None:
    stream = Stream(KEY, TWO_BUCKETS)
    for number in range(230):
        for control in controls_before(DESIGN, number, FIVE, every):
            outcome = Outcome.PASS if control.canonical else Outcome.FAIL
            stream.control(Control(KEY, control.canonical, outcome))
        stream.pair(pair(0))
        assert not any("too few controls" in reason for reason in stream.blockers())


def test_they_are_known_samples_of_tasks() -> None:
    seen = set()
    for number in range(0, 3_000, 10):
        right, bad = controls_before(DESIGN, number, FIVE, 10)
        assert right.solution == FIVE.tasks[right.task_id].canonical_solution
        assert bad.solution in FIVE.tasks[bad.task_id].wrong
        assert (right.canonical, bad.canonical) == (True, False)
        assert controls_before(DESIGN, number, FIVE, 10) == (right, bad)
        seen |= {right.task_id, right.id, bad.id}
    assert len(seen) == 40 + 600


def test_a_task_without_wrong_solutions_raises() -> None:
    bare = replace(FIVE, tasks=by_id(replace(task, wrong=()) for task in FIVE.tasks.values()))
    _, bad = controls_before(DESIGN, 0, bare, 10)
    task = bare.tasks[bad.task_id]
    names: dict[str, Any] = {}
    exec(task.program(bad.solution), names)
    entry_point = names[task.entry_point]
    with pytest.raises(NotImplementedError, match="a known-bad control"):
        entry_point(*[None] * len(signature(entry_point).parameters))
