"""Stores with a planted truth, filled through the store's own API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from gateway.shadow.gate.draws import Kind, Outcome, Served
from gateway.shadow.score.verdict import Says
from gateway.shadow.store import Counter, Drawn, Gap, Role, Run, Sample, Score, Scored, Side, State, Store, Total
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.store.evidence import NOON, a_sample, a_score

CATEGORIES = ("algorithms", "api_use", "debugging", "documentation", "multi_hop")
IDS = tuple(f"five/{category}/{number}" for category in CATEGORIES for number in range(1, 9))
SAYS = {Outcome(says.value): says for says in Says}
STATES = {Outcome(state.value): state for state in State if not state.open and state is not State.SCORED}
_ROLES = {Kind.LIVE_EXACT: (Role.LIVE, Role.MIRROR), Kind.LIVE_NEAR: (Role.LIVE, Role.MIRROR)}


@dataclass
class Planting:
    """Adds samples one after the other; all verdicts are recorded at once, by `done`."""

    store: Store
    number: int = 0

    def __post_init__(self) -> None:
        self._scores: list[Score] = []

    def pair(
        self, first: Outcome, second: Outcome, *, served: tuple[Served, Served] = (FIRST, SECOND), **fields: Any
    ) -> None:
        sample = self._sample(fields)
        roles = _ROLES.get(sample.kind, (Role.CANARY, Role.CANARY))
        outcomes = zip(Side, roles, served, (first, second), strict=True)
        runs = [self._run(sample, side, role, whose, outcome) for side, role, whose, outcome in outcomes]
        self.store.add(sample, *runs)

    def single(self, outcome: Outcome, served: Served = FIRST, **fields: Any) -> None:
        sample = self._sample({"kind": Kind.LIVE_EXACT, **fields})
        self.store.add(sample, self._run(sample, Side.FIRST, Role.LIVE, served, outcome))

    def control(self, canonical: bool, outcome: Outcome) -> None:
        sample = self._sample({"control": canonical, "between": (FIRST, SECOND)})
        self.store.add(sample, self._run(sample, Side.FIRST, Role.CONTROL, FIRST, outcome))

    def again(self, sample: Sample, side: Side, says: Says) -> None:
        self._scores.append(a_score(f"{sample.id}.{side}", says, 1))

    def done(self) -> None:
        self.store.record(*self._scores)
        self._scores.clear()

    def _sample(self, fields: dict[str, Any]) -> Sample:
        self.number += 1
        return a_sample(self.number, **{"task_id": IDS[self.number % len(IDS)], **fields})

    def _run(self, sample: Sample, side: Side, role: Role, served: Served, outcome: Outcome) -> Run:
        run, scores = a_run_with(sample, side, role, served, outcome)
        self._scores += scores
        return run


def a_run_with(
    sample: Sample, side: Side, role: Role, served: Served, outcome: Outcome
) -> tuple[Run, tuple[Score, ...]]:
    """A run as it is added, and the verdict that makes its outcome this one. Tasks of api_use are in-process."""
    run = Run(sample.id, side, role, served, tokens_in=100, tokens_out=10, answer="x")
    if outcome in STATES:
        return replace(run, state=STATES[outcome], answer=None), ()
    if outcome is Outcome.LENGTH:
        return replace(run, state=State.SCORED, finish_reason="length", answer=None), ()
    level = "bubblewrap/in-process" if sample.task_id.startswith("five/api_use") else "bubblewrap/separate"
    return run, (a_score(run, SAYS[outcome], level=level),)


def drawn(number: int, first: Outcome, second: Outcome, task_id: str) -> Drawn:
    """A canary pair, as the store would give it."""
    sample = a_sample(number, task_id=task_id)
    runs = []
    for side, served, outcome in zip(Side, (FIRST, SECOND), (first, second), strict=True):
        run, scores = a_run_with(sample, side, Role.CANARY, served, outcome)
        runs.append(Scored(replace(run, state=State.SCORED) if scores else run, scores))
    return Drawn(sample, tuple(runs))


def counted(store: Store) -> None:
    """What processes count, and a gap that lasts."""
    day = "2027-01-15"
    store.count("gateway", [Total(day, Counter.SAMPLED, 200), Total(day, Counter.MATCHED, 3)])
    store.count("gateway", [Total(day, Counter.UNMATCHED, 197), Total(day, Counter.DROPPED, 7, reason="busy")])
    store.count("gateway", [Total(day, Counter.TOKENS, 4400, model=FIRST.model)])
    store.gap(Gap("scorer", NOON + 5, "the database is down"))


def of(passed: bool) -> Outcome:
    return Outcome.PASS if passed else Outcome.FAIL


def world(store: Store) -> list[tuple[str, int, Outcome, Outcome]]:
    """80 canary pairs on the 40 tasks of five, at two lengths; the families' chances are .4 and .9."""
    random, happened = Random(7), []
    planting = Planting(store)
    for place in range(80):
        first, second = of(random.random() < 0.4), of(random.random() < 0.9)
        task_id, tokens = IDS[place % 40], 1000 if place < 40 else 5000
        planting.pair(first, second, task_id=task_id, prompt_tokens=tokens)
        happened.append((task_id, tokens, first, second))
    for canonical in (True, False):
        planting.control(canonical, of(canonical))
    planting.done()
    counted(store)
    return happened
