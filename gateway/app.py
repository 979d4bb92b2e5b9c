"""The composition root: builds every object once, in reading order; a reload builds the replaceable ones anew."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from litestar import Litestar
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry, generate_latest

from gateway import asgi
from gateway.admission import RELAYED, Admission
from gateway.api import routes
from gateway.clock import PERIOD, Clock
from gateway.config import Config
from gateway.decide import Decider
from gateway.discovery import Discovery, Report
from gateway.downstream import Connection
from gateway.errors import ApiError
from gateway.exchange import Exchange
from gateway.generation import Builder, Generation, Material
from gateway.pools import Pool
from gateway.shadow.tap import Beside
from gateway.shadow.tap.sampling import Sampling
from gateway.shadow.tap.tap import Settings as TapSettings
from gateway.shadow.tap.tap import Tap
from gateway.telemetry.log import LineLog
from gateway.telemetry.record import Recorder
from gateway.telemetry.states import ConfigState, States, TapTotals
from gateway.telemetry.traces import Traces
from gateway.telemetry.traces.totals import TraceTotals
from gateway.upstream import Endpoint, EndpointNow

VERSION = "0.1.0"
COUNTING_THREADS = 2
_TICKS_TO_PUBLISH = 4  # a second: it takes a millisecond or two, for a thousand samples

Publish = Callable[[CollectorRegistry], None]
Expose = Callable[[CollectorRegistry], bytes]


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where metrics go: ``expose`` answers a scrape; ``publish``, called every second, is for other workers."""

    expose: Expose = generate_latest
    publish: Publish = lambda registry: None


class Gateway:
    """All parts of a running gateway; what `downstream.Connection` calls its server."""

    def __init__(
        self,
        config: Config,
        report: Report,
        log: LineLog | None,
        *,
        material: Material | None = None,
        telemetry: Telemetry | None = None,
        beside: Beside | None = None,
        traces: Traces | None = None,
    ) -> None:
        """``material``: what was read for this configuration already. Raises ValueError if a file can't be used.

        ``beside``: the shadow process, if there is one. ``traces``: of this process, if they go anywhere.
        """
        telemetry = telemetry or Telemetry()
        self.clock = Clock(time.monotonic())
        self.connections: set[Connection] = set()
        self.draining = False
        self.log = log
        self._admission = Admission(beside.secret if beside is not None else None)
        self.registry = CollectorRegistry()
        for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
            self.registry.register(collector)
        wall = time.time  # noqa: TID251 - for log lines only
        self.recorder = Recorder(self.registry, time.perf_counter, wall, log, access_log=config.access_log)
        self.traces = self.recorder.traces = traces
        self.registry.register(TraceTotals(traces))
        threads = ThreadPoolExecutor(COUNTING_THREADS, thread_name_prefix="count")
        self.tap = _tap(config, beside, secrets.token_hex(4)) if beside is not None else None
        self._builder = Builder(self.clock, threads, self.recorder, report, lambda: self.generation, self.tap)
        self._retired: list[tuple[str, Endpoint]] = []
        self._group: asyncio.TaskGroup | None = None
        self._looking: asyncio.Task[None] | None = None
        self._take(self._builder.build(material or Material.read(config), None))
        self.config_state = ConfigState(
            lambda: self.generation.material.fingerprint, lambda: self.config.routing.threshold
        )
        self.registry.register(self.config_state)
        self.registry.register(States(self._states, lambda: len(self.connections), self.clock, log))
        self._publish = telemetry.publish
        expose = self._with_shadow(telemetry.expose)
        self.app: Litestar = routes.build(
            lambda: self.generation, lambda: self.draining, lambda: expose(self.registry), VERSION, debug=False
        )

    # -- what a connection asks -----------------------------------------------------------------------------------

    def admit(self, exchange: Exchange) -> None:
        if self.draining:
            exchange.keep_alive = False
        self._admission.admit(exchange)

    def answer(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        route = RELAYED.get(exchange.path)
        return self._answer_small(exchange) if route is None else self._serve(exchange, route)

    def refused(self, exchange: Exchange, error: ApiError) -> None:
        if not exchange.request_id:
            self._admission.identify(exchange)
        record = self.recorder.begin(exchange, "refused")
        record.failed(error.code)
        record.end(error.status)

    async def _answer_small(self, exchange: Exchange) -> None:
        try:
            await asgi.answer(self.app, exchange)
        except Exception as error:
            self.recorder.log_fault(exchange.request_id.decode(), error)
            exchange.fault()

    # -- the configuration ----------------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        return self.generation.config

    @property
    def pools(self) -> dict[str, Pool]:
        return self.generation.pools

    @property
    def decider(self) -> Decider:
        return self.generation.decider

    @property
    def discovery(self) -> Discovery:
        return self.generation.discovery

    async def reload(self, material: Material) -> None:
        """Serves by another configuration: requests that begin after this by the new one, those under way by theirs.

        New endpoints are looked at first, so that the new pools know theirs when they take over.
        """
        new = self._builder.build(material, self.generation)
        new.discovery.follow_on(self.discovery)
        await new.discovery.look_once()
        old = self.generation
        self._take(new)  # from here to the end of `_retire` nothing else runs
        self._retire(old)
        self.config_state.reloads["applied"] += 1

    def _take(self, generation: Generation) -> None:
        self.generation = generation
        self.limits = generation.config.limits  # read for every request, as are the next ones
        self.timeouts = generation.config.timeouts
        self._admission.keys = generation.keys
        self._serve = generation.serve
        if self.traces is not None:
            self.traces.follow(generation.config.traces)

    def _retire(self, old: Generation) -> None:
        """Endpoints that are gone: what is under way there goes on, what is idle is closed."""
        kept = set(self.generation.endpoints.values())
        for model, endpoint in old.labelled_endpoints():
            if endpoint not in kept:
                self._retired.append((model, endpoint))
                endpoint.close_idle()
        self._look_for_endpoints()

    # -- running --------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps the gateway's own tasks going, after a first look at the endpoints."""
        await self.discovery.look_once()
        # What exists now stays: the collector need not look at it again, nor after every few hundred requests.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        try:
            async with asyncio.TaskGroup() as self._group:
                self._look_for_endpoints()
                tapping = self._group.create_task(self.tap.keep_connected()) if self.tap is not None else None
                ticking = self._group.create_task(self._tick())
                try:
                    yield
                finally:
                    ticking.cancel()
                    if tapping is not None:
                        tapping.cancel()
                    self._stop_looking()
                    self._group = None
        finally:
            for _, endpoint in self._endpoints():
                endpoint.close_idle()
            self.recorder.settle()
            self._publish(self.registry)
            if self.traces is not None:
                await asyncio.to_thread(self.traces.close)
            if self.log is not None:
                await asyncio.to_thread(self.log.close)

    def _look_for_endpoints(self) -> None:
        self._stop_looking()
        if self._group is not None:
            self._looking = self._group.create_task(self.discovery.keep_looking())

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _with_shadow(self, expose: Expose) -> Expose:
        """What is scraped, with the shadow process's own metrics behind the gateway's."""
        tap = self.tap
        if tap is None:
            return expose
        self.registry.register(TapTotals(tap, self.recorder.totals))
        return lambda registry: expose(registry) + tap.exposition

    async def _tick(self) -> None:
        for number in itertools.count(1):
            await asyncio.sleep(PERIOD)
            self.clock.now = time.monotonic()
            try:
                self._look_around(self.clock.now)
                if number % _TICKS_TO_PUBLISH == 0:
                    self._publish(self.registry)
            except Exception as error:  # deadlines must outlive a fault in one of them
                self.recorder.log_fault("tick", error)

    def _look_around(self, now: float) -> None:
        for connection in tuple(self.connections):
            connection.tick(now)
        self._bound_unsent()
        self.generation.upstream.close_idle([endpoint for _, endpoint in self._endpoints()])
        self._retired = [pair for pair in self._retired if pair[1].in_flight or pair[1].idle]
        self.recorder.settle()
        if self.log is not None:
            self.log.flush()
        if self.tap is not None:
            self.tap.tick()

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
        return [*self.generation.labelled_endpoints(), *self._retired]

    def _states(self) -> Iterator[tuple[str, EndpointNow]]:
        """What metrics show. An endpoint that was taken out, or whose settings changed, ends what it is at."""
        found: dict[tuple[str, str], EndpointNow] = {}
        for model, endpoint in self._endpoints():
            found.setdefault((model, endpoint.address), EndpointNow.of(endpoint)).add(endpoint)
        yield from ((model, state) for (model, _), state in found.items())


def _tap(config: Config, beside: Beside, number: str) -> Tap:
    settings = config.shadow
    assert settings is not None  # or nothing would be beside
    sampling = Sampling(settings.keys, settings.keyless, settings.models)
    source = f"gateway-{os.getpid()}-{number}"
    told = TapSettings(sampling, beside.socket, source, settings.most_per_second)
    return Tap(told, time.time)  # noqa: TID251 - when a request came


async def decide_offline(config: Config, body: bytes) -> dict[str, Any]:
    """The decision for one request body, from the endpoints' windows if they answer and from the config if not."""
    gateway = Gateway(config, lambda _: None, None)
    await gateway.discovery.look_once()
    return (await routes.decide_only(body, gateway.generation)).model_dump()
