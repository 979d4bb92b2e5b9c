"""The composition root: builds every object once, in reading order, and runs them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import random
import re
import secrets
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import uvicorn
from litestar import Litestar
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry

from gateway import asgi
from gateway.api import routes
from gateway.clock import PERIOD, Clock
from gateway.config import Config, EndpointSettings, PoolSettings
from gateway.decide import Decider
from gateway.discovery import Discovery, Report
from gateway.downstream import Connection, connection_factory
from gateway.errors import ApiError
from gateway.exchange import Exchange
from gateway.families import MODELS
from gateway.keys import Keys
from gateway.pools import Pool
from gateway.request import Route
from gateway.serve import Serve
from gateway.telemetry.log import LineLog
from gateway.telemetry.record import Recorder, States
from gateway.tokens import Counter, Remote, Tokens, load_counter
from gateway.upstream import Endpoint, Upstream
from routing.health import EjectionRule

_RELAYED = {route.value.encode(): route for route in Route}
_request_id = re.compile(rb"[A-Za-z0-9._:-]{1,128}").fullmatch
VERSION = "0.1.0"
COUNTING_THREADS = 2


class Gateway:
    """All parts of a running gateway; what `downstream.Connection` calls its server."""

    def __init__(self, config: Config, report: Report, log: LineLog | None) -> None:
        self.config = config
        self.limits = config.limits
        self.timeouts = config.timeouts
        self.clock = Clock(time.monotonic())
        self.connections: set[Connection] = set()
        self.log = log
        self._id_prefix = secrets.token_hex(8).encode()
        self._id_numbers = itertools.count(1)
        self._keys = Keys.load(Path(config.api_key_file)) if config.api_key_file else None
        self.upstream = Upstream(self.clock, config.timeouts)
        builder = PoolBuilder(config, self.upstream, report)
        self.pools = {settings.model: builder.build(settings) for settings in config.pools}
        self.decider = Decider(config, self.pools)
        registry = CollectorRegistry()
        for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
            registry.register(collector)
        registry.register(States(self._endpoints, lambda: len(self.connections), self.clock, log))
        self.recorder = Recorder(registry, time.perf_counter, time.time, log)  # noqa: TID251 - for log lines only
        self.serve = Serve(config, self.clock, self.pools, self.decider, self.upstream, self.recorder)
        self.discovery = Discovery(list(self.pools.values()), self.upstream, report, config.probes)
        self.app: Litestar = routes.build(
            config, self.pools, self.decider, registry, VERSION, lifespan=[self._running], debug=False
        )

    # -- what a connection asks -----------------------------------------------------------------------------------

    def admit(self, exchange: Exchange) -> None:
        """Looks at a request's head: its id, its key, and for the relayed routes what they take."""
        self._identify(exchange)
        path = exchange.path
        if self._keys is not None and _needs_key(path):
            name = self._keys.name_of(exchange.fields.get(b"authorization"))
            if name is None:
                raise ApiError(
                    401, "The API key is missing or wrong: send `Authorization: Bearer KEY`.", code="invalid_api_key"
                )
            exchange.key_name = name
        if path in _RELAYED:
            if exchange.method != b"POST":
                method = exchange.method.decode("latin-1")
                raise ApiError(
                    405, f"{path.decode()} takes POST, not {method}.", code="method_not_allowed", allow="POST"
                )
            if not exchange.fields.get(b"content-type", b"").lower().startswith(b"application/json"):
                message = "The body must be JSON: send `Content-Type: application/json`."
                raise ApiError(415, message, code="unsupported_media_type")

    def _identify(self, exchange: Exchange) -> None:
        given = exchange.fields.get(b"x-request-id")
        exchange.request_id = given if given is not None and _request_id(given) else self._new_id()

    def _new_id(self) -> bytes:
        """Unique by a random part for the process and a number: asking the system for randomness costs a call each."""
        return b"%b-%x" % (self._id_prefix, next(self._id_numbers))

    def answer(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        route = _RELAYED.get(exchange.path)
        return self._answer_small(exchange) if route is None else self.serve(exchange, route)

    def refused(self, exchange: Exchange, error: ApiError) -> None:
        if not exchange.request_id:
            self._identify(exchange)
        record = self.recorder.begin(exchange, "refused")
        record.failed(error.code)
        record.end(error.status)

    async def _answer_small(self, exchange: Exchange) -> None:
        try:
            await asgi.answer(self.app, exchange)
        except Exception as error:
            self.recorder.log_fault(exchange.request_id.decode(), error)
            exchange.fault()

    # -- running --------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _running(self, _: Litestar) -> AsyncIterator[None]:
        await self.discovery.look_once()
        # What exists now stays: the collector need not look at it again, nor after every few hundred requests.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.discovery.keep_looking()), group.create_task(self._tick())]
            yield
            for task in tasks:
                task.cancel()
        if self.log is not None:
            await asyncio.to_thread(self.log.close)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            self.clock.now = time.monotonic()
            try:
                self._look_around(self.clock.now)
            except Exception as error:  # deadlines must outlive a fault in one of them
                self.recorder.log_fault("tick", error)

    def _look_around(self, now: float) -> None:
        for connection in tuple(self.connections):
            connection.tick(now)
        self._bound_unsent()
        self.upstream.close_idle([endpoint for _, endpoint in self._endpoints()])
        if self.log is not None:
            self.log.flush()

    def _bound_unsent(self) -> None:
        """Slow readers together may hold so much and no more: those that hold most are cut off first."""
        unsent = sorted(
            ((connection.unsent(), connection) for connection in self.connections), key=lambda pair: -pair[0]
        )
        total = sum(size for size, _ in unsent)
        for size, connection in unsent:
            if total <= self.limits.total_buffer_bytes:
                return
            total -= size
            connection.ended_by = "buffer_limit"
            connection.transport.abort()

    def _endpoints(self) -> list[tuple[str, Endpoint]]:
        return [(name, endpoint) for name, pool in self.pools.items() for endpoint in pool.endpoints]


class PoolBuilder:
    """Pools share the threads that count, and the tokenizers that are the same."""

    def __init__(self, config: Config, upstream: Upstream, report: Report) -> None:
        self._upstream = upstream
        self._report = report
        self._ejection = EjectionRule(**config.ejection.model_dump())
        self._draw = random.randrange if config.workers > 1 else None  # several processes: see routing.pick
        self._workers = ThreadPoolExecutor(COUNTING_THREADS, thread_name_prefix="count")
        self._counters: dict[str, Counter] = {}

    def build(self, settings: PoolSettings) -> Pool:
        model = MODELS[settings.model]
        endpoints = [build_endpoint(endpoint) for endpoint in settings.endpoints]
        counter = self._counter(settings.tokenizer) if settings.tokenizer is not None else None
        tokens = Tokens(model, self._workers, counter=counter, remote=self._remote(endpoints))
        return Pool(settings, model, endpoints, tokens, ejection=self._ejection, draw=self._draw, report=self._report)

    def _counter(self, source: str) -> Counter:
        if source not in self._counters:
            self._counters[source] = load_counter(source)
        return self._counters[source]

    def _remote(self, endpoints: list[Endpoint]) -> Remote:
        async def tokenize(body: bytes) -> tuple[int, bytes]:
            """The model server's own count, for a pool without a tokenizer."""
            for endpoint in endpoints:
                if endpoint.up:
                    return await self._upstream.fetch(endpoint, "POST", "/tokenize", body, seconds=10.0)
            return 503, b""

        return tokenize


def _needs_key(path: bytes) -> bool:
    """Whether a path leads to a model, in any spelling that the routes behind would take for it."""
    if path not in _RELAYED:
        path = b"/" + b"/".join(part for part in unquote_to_bytes(path).split(b"/") if part)
    return path.startswith(b"/v1/") or path in (b"/v1", b"/tokenize")


def build_endpoint(settings: EndpointSettings) -> Endpoint:
    url = urlsplit(settings.base_url)
    tls = ssl.create_default_context() if url.scheme == "https" else None
    endpoint = Endpoint(
        url.hostname or "",
        url.port or (443 if tls else 80),
        prefix=url.path,
        tls=tls,
        api_key=settings.key() or "",
    )
    endpoint.configured_name = settings.served_name
    return endpoint


def run(config: Config) -> None:
    """Serves until SIGTERM or SIGINT."""
    log = LineLog(sys.stdout.fileno()) if config.access_log else None
    gateway = Gateway(config, _say, log)
    settings = uvicorn.Config(
        gateway.app,
        host=config.host,
        port=config.port,
        http=connection_factory(gateway),  # type: ignore[arg-type]
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        backlog=4096,
        timeout_graceful_shutdown=30,
    )
    _say(f"yardstick {VERSION} on http://{config.host}:{config.port} (API description: /docs)")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # the lines above and the request log say what matters
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn raises it once more when it has shut down: that is no failure
    uvicorn.Server(settings).run()


async def decide_offline(config: Config, body: bytes) -> dict[str, Any]:
    """The decision for one request body, from the endpoints' windows if they answer and from the config if not."""
    gateway = Gateway(config, lambda _: None, None)
    await gateway.discovery.look_once()
    return (await routes.decide_only(body, config, gateway.pools, gateway.decider)).model_dump()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
