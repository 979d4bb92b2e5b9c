"""Samples, runs and scores to store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.shadow.gate.draws import Kind
from gateway.shadow.score.verdict import Says
from gateway.shadow.store import Role, Run, Sample, Score, Side, State, Store, identify
from tests.gateway.shadow.gate.worlds import FIRST, SECOND

NOON = 1_800_000_000.0
"""Some time of 2027-01-15."""
SERVED = {Side.FIRST: FIRST, Side.SECOND: SECOND}


@dataclass
class Time:
    """A clock that is set."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


def a_sample(number: int = 0, **fields: Any) -> Sample:
    """The one of this number: drawn so many seconds after NOON."""
    usual: dict[str, Any] = {
        "id": identify("test", str(number)),
        "at": NOON + number,
        "kind": Kind.CANARY,
        "suite": "five:1",
        "task_id": f"five/{number}",
        "form": "complete",
        "prompt_tokens": 1000 + number,
        "propensity": 0.5,
    }
    return Sample(**usual | fields)


def a_run(sample: Sample, side: Side = Side.FIRST, **fields: Any) -> Run:
    usual: dict[str, Any] = {"role": Role.CANARY, "served": SERVED[side], "answer": f"answer {sample.id} {side}"}
    return Run(sample.id, side, **usual | fields)


def both(sample: Sample, **fields: Any) -> tuple[Run, Run]:
    return a_run(sample, Side.FIRST, **fields), a_run(sample, Side.SECOND, **fields)


def a_score(run: Run | str, says: Says = Says.PASS, number: int = 0, **fields: Any) -> Score:
    usual: dict[str, Any] = {
        "level": "bubblewrap/separate",
        "seconds": 0.5,
        "program": "digest",
        "environment": "image:1",
        "at": NOON + 100,
    }
    return Score(run if isinstance(run, str) else run.id, says, number=number, **usual | fields)


def stored(store: Store) -> list[tuple[Run, State, int]]:
    """Every run, its state, and how many scores it has."""
    return [
        (scored.run, scored.run.state, len(scored.scores))
        for drawn in store.evidence.samples(answers=True)
        for scored in drawn.runs
    ]
