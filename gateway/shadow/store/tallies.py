"""Passes by task, added up by the database: of 100,000 runs in a twentieth of the CPU that reading each takes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from gateway.shadow.gate.draws import Kind, Outcome, Served
from gateway.shadow.score.verdict import Says
from gateway.shadow.store.outcome import CUT
from gateway.shadow.store.records import Role, State
from gateway.shadow.store.rows import served_of
from gateway.shadow.store.schema import runs, samples, scores, served
from gateway.telemetry.names import LENGTH_BOUNDS, LENGTHS

_RATED = [says for says in Says if Outcome(says.value).passed is not None]


@dataclass(frozen=True, slots=True)
class TaskTally:
    """Of `rated` answers that one model, as it was served, gave to one task at one length, so many passed.

    `kind` is the runs': a mirror's is `mirror`, whatever its sample's. `length`: of the prompt, as the metrics' label
    has it (`names.LENGTHS`).
    """

    kind: Kind
    sample_kind: Kind
    suite: str
    form: str
    sampling: str
    inflated: bool
    served: Served
    task_id: str
    length: str
    passed: int
    rated: int


def tallies(connection: Connection) -> list[TaskTally]:
    """Of all that is stored and has a verdict, but controls."""
    cut = func.coalesce(runs.c.finish_reason, "") == CUT
    passed, rated = _sum(and_(~cut, scores.c.says == Says.PASS)), _sum(or_(cut, scores.c.says.in_(_RATED)))
    mirrored, inflated = runs.c.role == Role.MIRROR, samples.c.target_tokens.is_not(None)
    keys = (
        *(samples.c.kind, mirrored.label("mirrored"), samples.c.suite, samples.c.form, samples.c.sampling),
        *(inflated.label("inflated"), runs.c.served_id, samples.c.task_id, _place_of_length().label("length")),
    )
    counts = and_(scores.c.run_id == runs.c.id, scores.c.number == 0)
    joined = runs.join(samples, samples.c.id == runs.c.sample_id).outerjoin(scores, counts)
    asked = select(*keys, passed.label("passed"), rated.label("rated")).select_from(joined)
    asked = asked.where(runs.c.state == State.SCORED, samples.c.control.is_(None)).group_by(*keys).having(rated > 0)
    known = {row.id: served_of(row._mapping) for row in connection.execute(select(served))}
    return [
        TaskTally(
            kind=Kind.MIRROR if row.mirrored else Kind(row.kind),
            sample_kind=Kind(row.kind),
            suite=row.suite,
            form=row.form,
            sampling=row.sampling,
            inflated=bool(row.inflated),
            served=known[row.served_id],
            task_id=row.task_id,
            length=LENGTHS[row.length],
            passed=int(row.passed),
            rated=int(row.rated),
        )
        for row in connection.execute(asked.order_by(*keys))
    ]


def _place_of_length() -> ColumnElement[int]:
    """Among `LENGTHS`."""
    bounds = enumerate(LENGTH_BOUNDS)
    return case(*((samples.c.prompt_tokens <= bound, place) for place, bound in bounds), else_=len(LENGTH_BOUNDS))


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))
