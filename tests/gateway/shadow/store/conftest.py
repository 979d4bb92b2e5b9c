from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.shadow.store import Retention, Store, open_store
from tests.gateway.shadow.store.evidence import Time
from tests.gateway.shadow.store.postgres import Server, binaries

Open = Callable[..., Store]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    found = binaries()
    if found is None:
        pytest.skip("no PostgreSQL here: apt-get install -y postgresql")
    server = Server(found)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """Of a database that is empty."""
    if request.param == "sqlite":
        found: str = request.getfixturevalue("sqlite_url")
        return found
    server: Server = request.getfixturevalue("postgres")
    return server.empty_database()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def opened(url: str, time: Time) -> Iterator[Open]:
    """Opens the test's database, as often as asked: ``opened(samples=7)``, with what `Retention` takes."""
    stores: list[Store] = []

    def start(**keep: float | bool) -> Store:
        stores.append(open_store(url, keep=Retention.model_validate(keep), clock=time))
        return stores[-1]

    yield start
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Open) -> Store:
    return opened()
