"""Brings a database's tables up to what the code expects."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select

from gateway.shadow.store.database import Database

_LOCK = 0x79617264_73746963
"""PostgreSQL's number for "someone migrates the store"."""


def upgrade(database: Database) -> None:
    """Creates or upgrades the tables; others who do so at the same time wait. Raises StoreUnavailable.

    That is also raised for a database that newer code has upgraded: it could be misread.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    with database.reading() as connection:
        if _is_current(database, connection, script):
            return
    with database.writing() as connection:
        if not database.is_sqlite:  # there the transaction itself is the lock
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        if not _is_current(database, connection, script):
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_current(database: Database, connection: Connection, script: ScriptDirectory) -> bool:
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in {revision.revision for revision in script.walk_revisions()}:
        remedy = "Use that yardstick here too, or give this one a database of its own."
        raise database.unavailable(f"a newer yardstick made its tables (revision {found})", remedy)
    return found == script.get_current_head()
