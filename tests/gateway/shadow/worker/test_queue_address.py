"""What is said of a queue's address, and of a server that refuses: what to do, and never a password."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from gateway.shadow.worker.queue import RunQueue
from gateway.shadow.worker.queue_server import NoQueue, QueueServer
from tests.gateway.shadow.worker.redis_server import RedisServer, binary

SECRET = "hunter2-hunter2"


@pytest.fixture
def guarded() -> Iterator[RedisServer]:
    """With a password."""
    found = binary()
    if found is None:
        pytest.skip("no Redis here: apt-get install -y redis-server")
    server = RedisServer(found, SECRET)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize(
    "url",
    [
        "",
        SECRET,
        f"my:{SECRET}",
        f"mysql://me:{SECRET}@host/d",
        f"redis://me:{SECRET}@host:port/0",
        f"redis+psycopg2://me:{SECRET}@host/0",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(NoQueue) as caught:
        QueueServer(url)
    assert "redis://HOST/NUMBER or postgresql://USER@HOST/DATABASE" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        (f"redis://me:{SECRET}@host:6380/2", "redis 2 at host:6380"),
        ("rediss://host", "rediss at host"),
        (f"unix://:{SECRET}@/run/redis.sock?db=1", "redis at /run/redis.sock"),
        (f"postgresql://me:{SECRET}@host/evals?application_name={SECRET}", "postgresql evals at host"),
        ("postgresql+psycopg:///evals?host=/run/postgresql", "postgresql evals at /run/postgresql"),
    ],
)
def test_where_it_is(url: str, where: str) -> None:
    assert QueueServer(url).where == where


@pytest.mark.parametrize(
    "form", ["redis://me:{}@host/0", "postgresql://me:{}@host/d", "postgresql://host/d?password={}"]
)
def test_what_a_driver_says_is_told_without_the_password(form: str) -> None:
    server = QueueServer(form.format("p%40ss-hunter2"))
    error = ExceptionGroup("several", [ExceptionGroup("", [OSError("refused p@ss-hunter2,\np%40ss-hunter2")])])
    assert server.told(error).startswith("OSError: refused ***, ***; ")


def test_a_wrong_password(guarded: RedisServer) -> None:
    told, heard = list[str](), threading.Event()

    def tell(message: str) -> None:
        told.append(message)
        heard.set()

    with RunQueue(QueueServer(guarded.url.replace(SECRET, f"not-{SECRET}")), tell):
        assert heard.wait(60)
    (message,) = told
    assert message.startswith("the queue of shadow-eval is not available: ")
    assert "invalid username-password pair" in message
    assert SECRET not in message


def test_without_its_packages_it_says_what_to_install() -> None:
    """As a process, which is kept from finding them."""
    code = """
import sys
from importlib.machinery import PathFinder
found = PathFinder.find_spec
PathFinder.find_spec = classmethod(lambda cls, name, *rest: None if name == "saq" else found(name, *rest))
from gateway.shadow.worker.queue_server import NoQueue, QueueServer
try:
    QueueServer("redis://host/0")
except NoQueue as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("Install yardstick's extra: pip install 'yardstick[queue]'.\n")


def test_its_packages_are_imported_only_when_a_queue_is_used() -> None:
    code = """
import sys
import gateway.cli.shadow.worker, gateway.shadow.live.process, gateway.shadow.live.start
print(sorted({"saq", "redis", "psycopg_pool"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
