from __future__ import annotations

from collections.abc import Iterator
from signal import Signals
from typing import Protocol

import pytest

from tests.gateway.shadow.store.conftest import opened, postgres, sqlite_url, store, time, url
from tests.gateway.shadow.store.postgres import Server, binaries
from tests.gateway.shadow.worker.redis_server import RedisServer, binary

__all__ = ["Served", "opened", "postgres", "queue_server", "sqlite_url", "store", "time", "url"]


class Served(Protocol):
    """`kill` is SIGKILL. `start` and `empty` leave it without any job."""

    url: str

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def empty(self) -> None: ...
    def signal(self, number: Signals) -> None: ...
    def content(self) -> bytes:
        """All that is in it."""


class OnRedis:
    def __init__(self, server: RedisServer) -> None:
        self._server, self.url = server, server.url
        self.start, self.kill, self.empty, self.signal = server.start, server.kill, server.empty, server.signal

    def content(self) -> bytes:
        with self._server.client() as client:
            values = {"string": client.get, "list": lambda key: client.lrange(key, 0, -1)}
            of = {key: values.get(client.type(key).decode(), lambda _: b"") for key in client.scan_iter()}
            return repr({key: read(key) for key, read in of.items()}).encode()


class OnPostgres:
    """Of its own: the one that has a store is another."""

    def __init__(self, server: Server) -> None:
        self._server, self.kill, self.signal = server, server.kill, server.signal
        self.url = server.empty_database()

    def start(self) -> None:
        self._server.start()
        self.empty()

    def empty(self) -> None:
        if self._has_table():
            self._server.value("WITH gone AS (DELETE FROM saq_jobs RETURNING 1) SELECT count(*) FROM gone")

    def content(self) -> bytes:
        all_jobs = "SELECT string_agg(key || convert_from(job, 'UTF8'), ' ') FROM saq_jobs"
        return str(self._server.value(all_jobs)).encode() if self._has_table() else b""

    def _has_table(self) -> bool:
        return self._server.value("SELECT to_regclass('saq_jobs')") is not None


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    found = binary()
    if found is None:
        pytest.skip("no Redis here: apt-get install -y redis-server")
    server = RedisServer(found)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def postgres_for_queues() -> Iterator[Server]:
    found = binaries()
    if found is None:
        pytest.skip("no PostgreSQL here: apt-get install -y postgresql")
    server = Server(found)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["redis", "postgresql"])
def queue_server(request: pytest.FixtureRequest) -> Served:
    """Runs, and has no jobs."""
    if request.param == "redis":
        on_redis = OnRedis(request.getfixturevalue("redis"))
        on_redis.empty()
        return on_redis
    return OnPostgres(request.getfixturevalue("postgres_for_queues"))
