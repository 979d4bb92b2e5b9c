"""What can go wrong is told as one error: what, where, what to do; never a password, a prompt or an answer."""

from __future__ import annotations

import logging
import socket
import stat
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.shadow.store import StoreUnavailable, open_store
from gateway.shadow.store.database import Database
from tests.gateway.shadow.store.evidence import a_run, a_sample
from tests.gateway.shadow.store.postgres import Server

SECRET = "hunter2-hunter2"


def failure(do: Callable[[], object]) -> tuple[StoreUnavailable, str]:
    """And everything that Python would print of it."""
    with pytest.raises(StoreUnavailable) as caught:
        do()
    return caught.value, "".join(traceback.format_exception(caught.value))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_server_that_is_not_there() -> None:
    port = free_port()
    error, printed = failure(lambda: open_store(f"postgresql://me:{SECRET}@127.0.0.1:{port}/evals?application_name=x"))
    assert error.where == f"postgresql database evals at 127.0.0.1:{port}"
    assert "Connection refused" in error.what
    assert "See that the server runs" in error.remedy
    assert SECRET not in printed


def test_a_password_is_shown_nowhere(postgres: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = postgres.empty_database().replace("postgres@", f"nobody:{SECRET}@")
    error, printed = failure(lambda: open_store(url))
    assert 'role "nobody" does not exist' in error.what
    assert SECRET not in printed + caplog.text
    assert SECRET not in failure(lambda: open_store(f"{url}&password={SECRET}&sslmode=nonsense"))[1]
    assert SECRET not in repr(vars(Database(url))) + repr(Database(url))


@pytest.mark.parametrize(
    "url",
    [
        f"my:{SECRET}",
        SECRET,
        "",
        f"postgresql://me:{SECRET}@host:port/x",
        f"mysql://me:{SECRET}@host/x",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    error, printed = failure(lambda: open_store(url))
    assert "postgresql://USER@HOST/DATABASE" in error.remedy
    assert SECRET not in printed


def test_a_file_that_cant_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "store.db", tmp_path):
        error, _ = failure(partial(open_store, f"sqlite:///{path}"))
        assert error.where == f"SQLite file {path}"


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("something else, and enough of it " * 100)
    error, _ = failure(lambda: open_store(f"sqlite:///{tmp_path}/store.db"))
    assert "file is not a database" in error.what


def test_a_file_is_its_owners_only(tmp_path: Path, sqlite_url: str) -> None:
    with open_store(sqlite_url) as store:
        store.add(a_sample())
        assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == dict.fromkeys(
            ("store.db", "store.db-wal", "store.db-shm"), 0o600
        )


def test_neither_prompts_nor_answers_are_told(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with open_store(url) as store:
        database = Database(url)
        with database.writing() as connection:
            connection.execute(text("DROP TABLE scores"))
            connection.execute(text("ALTER TABLE runs RENAME COLUMN redacted TO renamed"))
        sample = a_sample(prompt=SECRET)
        error, printed = failure(lambda: store.add(sample, a_run(sample, answer=SECRET)))
        assert "please report it" in error.remedy or database.is_sqlite
        for told in (printed, repr(sample), repr(a_run(sample, answer=SECRET))):
            assert SECRET not in told
        with database.reading() as connection:
            assert connection.scalar(text("SELECT count(*) FROM samples")) == 0
        database.close()
    assert SECRET not in caplog.text


def test_a_row_that_postgresql_quotes(postgres: Server) -> None:
    """Its message on a violated constraint has the whole row in it."""
    database = Database(postgres.empty_database())

    def break_it() -> None:
        with database.writing() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER, answer TEXT, CHECK (x > 0))"))
            connection.execute(text("INSERT INTO t VALUES (0, :answer)"), {"answer": SECRET})

    error, printed = failure(break_it)
    assert error.what == "CheckViolation, SQLSTATE 23514"
    assert SECRET not in printed
    database.close()
