"""Who scores what: a run is a worker's until its lease expires.

Clocks of machines may differ, by less than a lease: all that a wrong one does is that a run is scored twice, and counts
once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from gateway.shadow.store.records import Claim, State
from gateway.shadow.store.rows import run_of, sample_of, select_runs, select_samples
from gateway.shadow.store.schema import runs, samples

MOST_ATTEMPTS = 5
"""A run whose worker was lost so often is an error: it may be what ends them."""

_FREE: dict[str, Any] = {"worker": None, "expires": None}


def claim(
    connection: Connection,
    worker: str,
    *,
    now: float,
    seconds: float,
    limit: int,
    suites: Collection[str] | None,
    ids: Collection[str] | None,
) -> list[Claim]:
    """The oldest that nobody has, at most `limit`; of these suites, and these runs, only."""
    connection.execute(
        update(runs)
        .where(_expired(now), runs.c.attempts >= MOST_ATTEMPTS)
        .values(state=State.ERROR, answer=None, **_FREE)
    )
    found = select(runs.c.id).join(samples, samples.c.id == runs.c.sample_id)
    found = found.where(or_(runs.c.state == State.WAITING, _expired(now)))
    if suites is not None:
        found = found.where(samples.c.suite.in_(suites))
    if ids is not None:
        found = found.where(runs.c.id.in_(ids))
    # Rows that others are claiming are passed over on PostgreSQL; SQLite has no others, and ignores this.
    found = found.order_by(runs.c.at, runs.c.id).limit(limit).with_for_update(of=runs, skip_locked=True)
    claimed = list(connection.scalars(found))
    connection.execute(
        update(runs)
        .where(runs.c.id.in_(claimed))
        .values(state=State.LEASED, worker=worker, expires=now + seconds, attempts=runs.c.attempts + 1)
    )
    return _claims(connection, claimed)


def unclaimed(
    connection: Connection, *, now: float, before: float, limit: int, suites: Collection[str]
) -> list[tuple[str, str]]:
    """The oldest that wait, of samples from before a time, or whose lease has expired: suites and runs' ids."""
    waits = and_(runs.c.state == State.WAITING, runs.c.at < before)
    found = select(samples.c.suite, runs.c.id).join(samples, samples.c.id == runs.c.sample_id)
    found = found.where(or_(waits, _expired(now)), samples.c.suite.in_(suites)).order_by(runs.c.at, runs.c.id)
    return [(suite, run_id) for suite, run_id in connection.execute(found.limit(limit))]


def renew(connection: Connection, held: Claim, *, now: float, seconds: float) -> bool:
    """Whether it was still the worker's, and now is for so many seconds more."""
    return connection.execute(update(runs).where(_still(held)).values(expires=now + seconds)).rowcount == 1


def give_back(connection: Connection, held: Claim) -> bool:
    """For others to claim at once; counts as no attempt."""
    back = update(runs).where(_still(held)).values(state=State.WAITING, attempts=runs.c.attempts - 1, **_FREE)
    return connection.execute(back).rowcount == 1


def _expired(now: float) -> ColumnElement[bool]:
    return and_(runs.c.state == State.LEASED, runs.c.expires <= now)


def _still(held: Claim) -> ColumnElement[bool]:
    return and_(
        runs.c.id == held.run.id,
        runs.c.state == State.LEASED,
        runs.c.worker == held.worker,
        runs.c.attempts == held.attempt,
    )


def _claims(connection: Connection, ids: list[str]) -> list[Claim]:
    rows = connection.execute(select_runs(answers=True).where(runs.c.id.in_(ids)).order_by(runs.c.at, runs.c.id)).all()
    wanted = select_samples().where(samples.c.id.in_({row.sample_id for row in rows}))
    found = {row.id: sample_of(row) for row in connection.execute(wanted)}
    return [Claim(run_of(row), found[row.sample_id], row.worker, row.attempts, row.expires) for row in rows]
