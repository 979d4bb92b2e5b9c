"""One way to SQLite and PostgreSQL: a URL becomes transactions, and what goes wrong a StoreUnavailable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
    SQLAlchemyError,
)
from tenacity import Retrying, retry_if_exception_message, stop_after_delay, wait_random

from gateway.shadow.store.errors import StoreUnavailable

_BUSY = 30_000
"""Milliseconds for which one who writes to SQLite waits for another."""
# A server that can't be reached, or that vanished without a word, is noticed within half a minute.
_POSTGRESQL = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 30_000}
_FORMS = "Give sqlite:///FILE or postgresql://USER@HOST/DATABASE."
_READS = "yardstick_reads"


class Database:
    """Transactions on one database. Threads may share it; processes that fork may not."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet. A file that is not there is made, readable by its owner only."""
        parsed = _parsed(url)
        self.where = _shown(parsed)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._url = parsed
        self._engine = self._sqlite(parsed) if self.is_sqlite else self._postgresql(parsed)
        self._reading = self._engine.execution_options(**{_READS: True})

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that writes nothing, and on SQLite stops nobody from writing."""
        with self._told(), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction. On SQLite it is the only one that writes from its beginning to its end."""
        with self._told(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def outside_transactions(self) -> Iterator[Any]:
        """A driver's cursor, for what can't be done in a transaction."""
        with self._told(), self._engine.connect() as connection:
            if not self.is_sqlite:  # there the driver is in this mode all the time
                connection.execution_options(isolation_level="AUTOCOMMIT")
            driver: Any = connection.connection.driver_connection
            try:
                yield driver.cursor()
            except self._engine.dialect.loaded_dbapi.Error as error:
                raise self._failure(error) from None

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """With `on_conflict_do_nothing` and `on_conflict_do_update`, which are the same for both."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def unavailable(self, what: str, remedy: str) -> StoreUnavailable:
        return StoreUnavailable(what, self.where, remedy)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            # Without its cause: PostgreSQL's messages quote rows.
            raise self._failure(error) from None

    def _failure(self, error: BaseException) -> StoreUnavailable:
        remedy = "See that the server runs, and that its user, password and database are right."
        if isinstance(error, IntegrityError | ProgrammingError | DataError):
            remedy = (
                "Nothing was written. Its tables are not what this version made, or this is a bug: please report it."
            )
        elif self.is_sqlite:
            remedy = "See that the file can be written, its disk has room and no one holds it locked."
        if isinstance(error, DBAPIError) and error.orig is not None:
            error = error.orig
        return self.unavailable(f"{type(error).__name__}{self._detail(error)}", remedy)

    def _detail(self, error: BaseException) -> str:
        """SQLite's messages name tables and columns at most. PostgreSQL's are safe only while nobody has sent a row."""
        if self.is_sqlite:
            return f": {error}"
        code = getattr(error, "sqlstate", None)
        if code:
            return f", SQLSTATE {code}"
        text = " ".join(str(error).split())[:500]
        password = self._url.password
        return f": {text.replace(password, '***') if password else text}"

    @staticmethod
    def _sqlite(url: URL) -> Engine:
        path = url.database
        if not path or path == ":memory:" or path.startswith("file:"):
            raise StoreUnavailable("SQLite needs a file here", _shown(url), _FORMS)
        _make_file(Path(path), _shown(url))
        # The driver's own transactions are switched off: they begin late, and commit before DDL.
        engine = create_engine(
            url, hide_parameters=True, connect_args={"timeout": _BUSY / 1000, "isolation_level": None}
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return engine

    @staticmethod
    def _postgresql(url: URL) -> Engine:
        options = {name: value for name, value in _POSTGRESQL.items() if name not in url.query}
        try:
            return create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=options)
        except ImportError:
            remedy = "Install yardstick's extra: pip install 'yardstick[postgres]'."
            raise StoreUnavailable("psycopg is not installed", _shown(url), remedy) from None


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise StoreUnavailable(
            "the address is no database's URL", "it is not shown, it may hold a password", _FORMS
        ) from None
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreUnavailable(f"{backend} is no database that it can use", _shown(parsed), _FORMS)
    return parsed.set(drivername="sqlite")


def _shown(url: URL) -> str:
    """Without user, password and options, any of which may be secret."""
    if url.get_backend_name() == "sqlite":
        return f"SQLite file {url.database}"
    host = url.host or url.query.get("host") or "the local socket"
    return f"{url.get_backend_name()} database {url.database or ''} at {host}{f':{url.port}' if url.port else ''}"


def _make_file(path: Path, where: str) -> None:
    """Never opens a database that is there: closing it would end the locks that this process has on it (POSIX)."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        remedy = "Give a file in a folder that can be written."
        raise StoreUnavailable(f"the file can't be opened: {error.strerror}", where, remedy) from None


def _prepare(driver: Any, _: object) -> None:
    cursor = driver.cursor()
    # For this step alone SQLite does not wait for others, who may be at the same.
    for attempt in Retrying(
        retry=retry_if_exception_message(match="database is locked"),
        wait=wait_random(0.01, 0.05),
        stop=stop_after_delay(_BUSY / 1000),
        reraise=True,
    ):
        with attempt:
            cursor.execute("PRAGMA journal_mode = WAL")
    for pragma in (
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",  # what is deleted is overwritten
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
