"""Tables are made and upgraded by migrations, which give what the code expects."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, inspect, text

from gateway.shadow.store import StoreUnavailable, open_store
from gateway.shadow.store.database import Database
from gateway.shadow.store.schema import metadata
from tests.gateway.shadow.store.evidence import a_sample
from tests.gateway.shadow.store.worker import PROCESSES, open_and_add


def test_migrations_make_the_tables_that_the_code_expects(url: str) -> None:
    open_store(url).close()
    database = Database(url)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        # Alembic does not compare these.
        inspector = inspect(connection)
        for table in metadata.tables.values():
            found = {check["name"] for check in inspector.get_check_constraints(table.name)}
            expected = {check.name for check in table.constraints if isinstance(check, CheckConstraint)}
            assert found == expected
            assert tuple(inspector.get_pk_constraint(table.name)["constrained_columns"]) == tuple(
                column.name for column in table.primary_key.columns
            )
    database.close()


def test_opening_again_changes_nothing(url: str) -> None:
    for number in range(2):
        with open_store(url) as store:
            store.add(a_sample(number))
    with open_store(url) as store:
        assert [drawn.sample for drawn in store.evidence.samples()] == [a_sample(0), a_sample(1)]


def test_many_may_open_it_at_once(url: str) -> None:
    together = PROCESSES.Barrier(8)
    openers = [PROCESSES.Process(target=open_and_add, args=(url, number, together)) for number in range(8)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert [opener.exitcode for opener in openers] == [0] * 8
    with open_store(url) as store:
        assert [drawn.sample for drawn in store.evidence.samples()] == [a_sample(number) for number in range(8)]


def test_tables_of_a_newer_version_are_left_alone(url: str) -> None:
    with open_store(url) as store:
        store.add(a_sample())
    database = Database(url)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreUnavailable, match=r"a newer yardstick made its tables \(revision 9999\)"):
        open_store(url)
    with database.reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM samples")) == 1
    database.close()


def test_a_migration_that_fails_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(url)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE gaps (x INTEGER)"))  # the last that is made
    with pytest.raises(StoreUnavailable):
        open_store(url)
    with database.reading() as connection:
        assert inspect(connection).get_table_names() == ["gaps"]
    database.close()
