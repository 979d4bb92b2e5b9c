"""The server of a queue: its URL, and SAQ's queues on it. SAQ and its drivers are imported only where they are used."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

if TYPE_CHECKING:
    from saq import Queue

_FORMS = "Give redis://HOST/NUMBER or postgresql://USER@HOST/DATABASE."
_DRIVERS = {
    **dict.fromkeys(("redis", "rediss", "unix"), "redis"),
    **dict.fromkeys(("postgresql", "postgres"), "psycopg_pool"),
}
_PATIENCE = 5  # seconds in which a server has to answer
_CONNECTIONS = 20  # at most; as many as are used
# One that vanished without a word is noticed within half a minute.
_POSTGRESQL = {
    "connect_timeout": _PATIENCE,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "tcp_user_timeout": 30_000,
}

Open = Callable[[str], Awaitable["Queue"]]
"""The queue of this name."""


class NoQueue(Exception):
    """Says what is wrong with a queue's URL, or what is missing here. Quotes no password."""


class QueueServer:
    """Connects to nothing yet. Raises NoQueue."""

    def __init__(self, url: str) -> None:
        try:
            parsed = urlsplit(url)
            self.where = _shown(parsed)
        except ValueError:
            parsed = urlsplit("")
        scheme, _, driver = parsed.scheme.partition("+")
        if scheme not in _DRIVERS or driver not in ("", "psycopg"):
            raise NoQueue(f"the queue's address is none (it is not shown, it may hold a password). {_FORMS}")
        if any(find_spec(each) is None for each in ("saq", _DRIVERS[scheme])):
            raise NoQueue(
                "a queue needs SAQ, which is not installed. Install yardstick's extra: pip install 'yardstick[queue]'."
            )
        self._url = parsed._replace(scheme=scheme).geturl()
        self._redis = _DRIVERS[scheme] == "redis"
        options = (option.partition("=") for option in parsed.query.split("&"))
        given = [parsed.password or "", *(value for name, _, value in options if name == "password")]
        self._secrets = [text for each in given if each for text in (each, unquote(each))]

    def connected(self) -> AbstractAsyncContextManager[Open]:
        """Raises whatever its driver does if the server is not there."""
        for name in ("saq", "psycopg.pool"):  # what goes wrong is told once, by who uses this
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return self._on_redis() if self._redis else self._on_postgresql()

    def told(self, error: BaseException) -> str:
        """In one line. Of several, which one brought about, the first."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        text = " ".join(str(error).split())[:500]
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return f"{type(error).__name__}: {text}; {self.where}".replace(": ;", ";")

    @asynccontextmanager
    async def _on_redis(self) -> AsyncIterator[Open]:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from saq.queue.redis import RedisQueue

        patience: dict[str, Any] = {"socket_connect_timeout": _PATIENCE, "socket_timeout": 2 * _PATIENCE}
        client: Any = Redis.from_url(self._url, retry=Retry(NoBackoff(), 1), **patience)

        async def open_queue(name: str) -> Queue:
            return RedisQueue(client, name=name)

        try:
            await client.ping()
            yield open_queue
        finally:
            await client.aclose()

    @asynccontextmanager
    async def _on_postgresql(self) -> AsyncIterator[Open]:
        import psycopg
        from psycopg.errors import UndefinedTable
        from psycopg_pool import AsyncConnectionPool
        from saq.queue.postgres import PostgresQueue

        options: dict[str, Any] = {name: value for name, value in _POSTGRESQL.items() if f"{name}=" not in self._url}
        # The pool would only say that it got no connection, not why.
        await (await psycopg.AsyncConnection.connect(self._url, **options)).close()
        check = AsyncConnectionPool.check_connection
        pool: Any = AsyncConnectionPool(
            self._url, kwargs=options, check=check, open=False, min_size=1, max_size=_CONNECTIONS, timeout=_PATIENCE
        )

        async def open_queue(name: str) -> Queue:
            queue = PostgresQueue(pool=pool, name=name)
            await queue.connect()
            # Someone else who is just making SAQ's tables keeps `connect` from it, and then it goes on without them.
            until = stop_after_delay(_PATIENCE)
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(UndefinedTable), wait=wait_fixed(0.1), stop=until, reraise=True
            ):
                with attempt:
                    await queue.count("queued")
            return queue

        async with pool:
            yield open_queue


def _shown(url: SplitResult) -> str:
    """Without user, password and options, any of which may be secret. Raises ValueError for a port that is none."""
    if url.scheme == "unix":
        return f"redis at {url.path}"
    host = url.hostname or "".join(parse_qs(url.query).get("host", [])) or "localhost"
    return (
        f"{url.scheme.partition('+')[0]} {url.path.strip('/')} at {host}{f':{url.port}' if url.port else ''}".replace(
            "  ", " "
        )
    )
