"""Records to rows and back."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple
from typing import Any

from sqlalchemy import Label, Row, Select, select
from sqlalchemy.sql.selectable import NamedFromClause

from gateway.shadow.gate.draws import Kind, Served
from gateway.shadow.score.verdict import Says
from gateway.shadow.store import schema
from gateway.shadow.store.records import Role, Run, Sample, Score, Side, State, identify

_SERVED = [column.name for column in schema.served.c if column.name != "id"]
_FIRST, _SECOND = schema.served.alias("first"), schema.served.alias("second")

Record = dict[str, Any]


def served_id(served: Served) -> str:
    return identify(*astuple(served))


def served_row(served: Served) -> Record:
    return {"id": served_id(served), **asdict(served)}


def sample_row(sample: Sample, *, with_prompt: bool) -> Record:
    first, second = sample.between or (None, None)
    row = {column.name: getattr(sample, column.name) for column in schema.samples.c if not column.name.endswith("_id")}
    return row | {
        "task_id": sample.task_id,
        "request_id": sample.request_id,
        "alike": json.dumps(sample.alike),
        "first_id": served_id(first) if first else None,
        "second_id": served_id(second) if second else None,
        "prompt": sample.prompt if with_prompt else None,
    }


def run_row(run: Run, at: float) -> Record:
    """An answer is kept only where a worker is to score it."""
    return {
        "id": run.id,
        "sample_id": run.sample_id,
        "at": at,
        "side": run.side,
        "role": run.role,
        "served_id": served_id(run.served),
        "state": run.state,
        "finish_reason": run.finish_reason,
        "tokens_in": run.tokens_in,
        "tokens_out": run.tokens_out,
        "redacted": run.redacted,
        "answer": run.answer if run.state is State.WAITING else None,
    }


def select_samples() -> Select[Any]:
    """Rows for `sample_of`."""
    joined = schema.samples.outerjoin(_FIRST, _FIRST.c.id == schema.samples.c.first_id)
    joined = joined.outerjoin(_SECOND, _SECOND.c.id == schema.samples.c.second_id)
    return select(schema.samples, *_named(_FIRST), *_named(_SECOND)).select_from(joined)


def sample_of(row: Row[Any]) -> Sample:
    found = row._mapping
    values = {name: found[name] for name in Sample.__dataclass_fields__ if name != "between"}
    first, second = _served_of(found, "first"), _served_of(found, "second")
    between = (first, second) if first and second else None
    kind, alike = Kind(found["kind"]), tuple(json.loads(found["alike"]))
    return Sample(**values | {"kind": kind, "alike": alike, "between": between})


def select_runs(*, answers: bool) -> Select[Any]:
    """Rows for `run_of`. Reports don't need answers, which are most of what there is."""
    columns = [column for column in schema.runs.c if answers or column.name != "answer"]
    joined = schema.runs.join(_FIRST, _FIRST.c.id == schema.runs.c.served_id)
    return select(*columns, *_named(_FIRST)).select_from(joined)


def run_of(row: Row[Any]) -> Run:
    """As it was added, but in the state `waiting` while it is leased: a lease is a claim's."""
    found = row._mapping
    served = _served_of(found, "first")
    assert served is not None, "a foreign key"
    state = State(found["state"])
    return Run(
        sample_id=found["sample_id"],
        side=Side(found["side"]),
        role=Role(found["role"]),
        served=served,
        state=State.WAITING if state is State.LEASED else state,
        finish_reason=found["finish_reason"],
        tokens_in=found["tokens_in"],
        tokens_out=found["tokens_out"],
        redacted=found["redacted"],
        answer=found.get("answer"),
    )


def score_of(row: Row[Any]) -> Score:
    found = row._mapping
    return Score(**{**found, "says": Says(found["says"])})


def served_of(row: Any) -> Served:
    """Of a row of `served`."""
    return Served(**{name: row[name] for name in _SERVED})


def _named(side: NamedFromClause) -> list[Label[Any]]:
    return [side.c[name].label(f"{side.name}_{name}") for name in _SERVED]


def _served_of(found: Any, side: str) -> Served | None:
    values = {name: found[f"{side}_{name}"] for name in _SERVED}
    return None if values["family"] is None else Served(**values)
