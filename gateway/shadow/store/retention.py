"""How long what is stored stays, and deleting that leaves nothing behind."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, not_, select, true

from gateway.shadow.store.database import Database
from gateway.shadow.store.day import day_of
from gateway.shadow.store.records import OPEN, Purged
from gateway.shadow.store.schema import counters, gaps, runs, samples, scores, served

DAY = 86_400.0
LONGEST_ANSWER = 3_600.0
"""Seconds after which a model server that was asked will not answer any more: whoever asked is gone."""


def purge(connection: Connection, *, before: float | None, key: str | None) -> Purged:
    """Deletes samples from before a time, of a key, or both; with them all that hangs on them.

    Counters and gaps are nobody's: they go by time only, and only where all of it (the day, the gap) is before.
    """
    wanted = [samples.c.at < before] if before is not None else []
    if key is not None:
        wanted.append(samples.c.key == key)
    chosen = select(samples.c.id).where(*wanted)
    old_runs = select(runs.c.id).where(runs.c.sample_id.in_(chosen))
    count = connection.scalar(select(func.count()).where(scores.c.run_id.in_(old_runs)))
    # In the order in which others lock them; scores go with their runs.
    runs_gone = _delete(connection, runs, runs.c.sample_id.in_(chosen))
    samples_gone = _delete(connection, samples, and_(true(), *wanted))
    counters_gone = gaps_gone = 0
    if key is None and before is not None:
        counters_gone = _delete(connection, counters, counters.c.day < day_of(before))
        gaps_gone = _delete(connection, gaps, and_(gaps.c.until.is_not(None), gaps.c.until < before))
    return Purged(samples_gone, runs_gone, count or 0, counters_gone, gaps_gone)


def purge_everything(connection: Connection) -> Purged:
    count = connection.scalar(select(func.count()).select_from(scores))
    runs_gone, samples_gone = _delete(connection, runs, true()), _delete(connection, samples, true())
    connection.execute(delete(served))
    return Purged(
        samples_gone, runs_gone, count or 0, _delete(connection, counters, true()), _delete(connection, gaps, true())
    )


def drop_answers(connection: Connection, before: float) -> int:
    """Those of runs that are done, of samples from before a time. How many."""
    done = and_(runs.c.answer.is_not(None), not_(runs.c.state.in_(OPEN)), runs.c.at < before)
    return connection.execute(runs.update().where(done).values(answer=None)).rowcount


def overwrite(database: Database) -> None:
    """Sees that what was deleted can't be read from the database's files. Copies, backups and disks are others' matter.

    SQLite has overwritten the rows already; what is left is in its log and in parts of the file that nothing uses.
    PostgreSQL keeps deleted rows until vacuumed; a full vacuum writes the tables anew, and others wait meanwhile. Its
    write-ahead log has them until the server recycles it.
    """
    with database.outside_transactions() as cursor:
        if not database.is_sqlite:
            for table in (samples, runs, scores):
                cursor.execute(f"VACUUM (FULL) {table.name}")
            return
        cursor.execute("VACUUM")
    if not empty_log(database):
        remedy = "Nothing is lost; purge again when nobody reads."
        raise database.unavailable("rows are deleted, but others read and so copies stay in its log", remedy)


def empty_log(database: Database) -> bool:
    """Of SQLite's log, which has copies of what was deleted: whether nobody was reading it, and it could be emptied."""
    if not database.is_sqlite:
        return True
    with database.outside_transactions() as cursor:
        (busy, _, _) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def _delete(connection: Connection, table: Table, wanted: ColumnElement[Any]) -> int:
    return connection.execute(delete(table).where(wanted)).rowcount
