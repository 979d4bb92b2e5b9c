"""Runs that wait, and workers with slots that follow a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.shadow.sandbox.job import Job, Limits, Outcome
from gateway.shadow.sandbox.level import Level
from gateway.shadow.score.check import Checker
from gateway.shadow.score.verdict import Verdict
from gateway.shadow.store import Claim, Role, Run, Score, Side, Store
from gateway.shadow.suites.load import load
from gateway.shadow.worker import Observer, Scoring, Settings, Worker, suite_key
from gateway.shadow.worker.queue import RunQueue
from tests.fakes.slot import Script, ScriptedSlot, fails, passes
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.store.evidence import Time, a_run, a_sample

FIVE = load("five")
TASKS = [FIVE.tasks[task_id] for task_id in sorted(FIVE.tasks)]
TASK = TASKS[0]
WRONG = "MARKED_WRONG"


def answer(number: int, note: str = "") -> str:
    """A model's, told from others by its number; the script below has it fail if it is marked as wrong."""
    return f"Sure:\n```python\ndef {TASK.entry_point}(*_):\n    return 'answer {number} {note}'\n```\n"


def by_mark(job: Job) -> Outcome:
    return fails(job) if WRONG in job.candidate else passes(job)


def waiting(store: Store, number: int, note: str = "", **fields: Any) -> Run:
    """A run of the first task that waits, of this number; its sample has what is given of a sample's fields."""
    of_run = {name: fields.pop(name) for name in set(fields) & set(Run.__dataclass_fields__)}
    usual: dict[str, Any] = {"suite": suite_key(FIVE), "task_id": TASK.task_id}
    sample = a_sample(number, **usual | fields)
    run = a_run(sample, Side.FIRST, **{"answer": answer(number, note)} | of_run)
    store.add(sample, run)
    return run


def control(store: Store, number: int, canonical: bool) -> Run:
    solution = TASK.canonical_solution if canonical else f"    return '{WRONG}'\n"
    between = {"control": canonical, "between": (FIRST, SECOND)}
    return waiting(store, number, answer=solution, role=Role.CONTROL, **between)


@dataclass
class Noted:
    """An observer that notes what it is told, and may do something then."""

    on_scored: Callable[[], object] = lambda: None
    on_told: Callable[[str], object] = lambda _: None
    verdicts: list[tuple[str, Verdict, bool]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def scored(self, claim: Claim, verdicts: Sequence[Verdict], *, new: bool) -> None:
        self.verdicts += [(claim.run.id, verdict, new) for verdict in verdicts]
        self.on_scored()

    def told(self, message: str) -> None:
        self.messages.append(message)
        self.on_told(message)


class Crew:
    """A worker and its slots, which all follow one script."""

    def __init__(
        self,
        store: Store,
        script: Script = by_mark,
        *,
        noted: Noted | None = None,
        observer: Observer | None = None,
        again: float = 0.0,
        time: Time | None = None,
        slot: type[ScriptedSlot] = ScriptedSlot,
        queue: RunQueue | None = None,
        **settings: Any,
    ) -> None:
        self.noted = noted or Noted()
        self.slots = list[ScriptedSlot]()

        def new_slot() -> ScriptedSlot:
            self.slots.append(slot(script))
            return self.slots[-1]

        scoring = Scoring([FIVE], lambda: Checker(Level.BUBBLEWRAP, Limits()), again=again)
        usual: dict[str, Any] = {"name": "a", "environment": "image:1", "once": True, "poll": 0.05, "first_try": 0.01}
        how = Settings(**usual | settings)
        self.worker = Worker(store, scoring, new_slot, how, observer or self.noted, queue=queue, clock=time)

    def run(self) -> Crew:
        self.worker.run()
        assert all((slot.opened, slot.closed) == (1, 1) for slot in self.slots)
        return self

    @property
    def ran(self) -> list[str]:
        """The programs that are no task's own solution."""
        jobs = [job for slot in self.slots for job in slot.jobs]
        return [job.candidate for job in jobs if job.candidate != TASK.program(TASK.canonical_solution)]


def scores(store: Store, run: Run) -> tuple[Score, ...]:
    (found,) = (scored.scores for drawn in store.evidence.samples() for scored in drawn.runs if scored.run.id == run.id)
    return found


def outcomes(store: Store) -> list[str | None]:
    """In the order in which samples were drawn; None of what is open."""
    return [scored.outcome for drawn in store.evidence.samples() for scored in drawn.runs]
