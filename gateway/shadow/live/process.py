"""The shadow process: all parts, put together in reading order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from gateway.config import Config, PoolSettings, data_dir, environment
from gateway.config_shadow import ShadowSettings
from gateway.families import MODELS
from gateway.families.base import render
from gateway.shadow.canary.design import NothingToDraw
from gateway.shadow.canary.prompt import RoutingTokens
from gateway.shadow.events import open_events
from gateway.shadow.gate.draws import Served
from gateway.shadow.live.expiring import expire
from gateway.shadow.live.gate import GateAnswers
from gateway.shadow.live.intake import Intake, Known, MatchedSample
from gateway.shadow.live.metrics import ShadowMetrics
from gateway.shadow.live.mix_file import mix_file, read_mix, write_mix
from gateway.shadow.live.offers import Offers, offering
from gateway.shadow.live.rates import Rates
from gateway.shadow.live.receiver import Receiver, Taken
from gateway.shadow.live.scoring import Scorers
from gateway.shadow.live.settings import canary_plan
from gateway.shadow.match import Matcher
from gateway.shadow.report.strata import Groups
from gateway.shadow.sending import (
    Canaries,
    GatewayClient,
    Matched,
    Mirrors,
    Spending,
    StoreWriter,
    served_of,
)
from gateway.shadow.store import Counter, Gap, Side, State, Store, StoreUnavailable, Total, open_store
from gateway.shadow.suites.jsonl import InputError
from gateway.shadow.suites.load import load
from gateway.shadow.tap.frames import Counted, Observed
from gateway.shadow.worker import suite_key
from gateway.shadow.worker.answer import NO_TEMPLATE
from gateway.shadow.worker.queue_server import NoQueue
from gateway.tokens import load_counter

_SILENCE = 900.0  # seconds that a model may take for one of our own requests
_NO_CANARIES = 3600.0  # seconds until it is looked again whether there is something to draw
_TELL = 2.0  # seconds between two times that counts and metrics are told
_LONG_START = 15.0  # seconds: what is missed while this process first starts is counted, and no gap
_LAST = 12.0  # seconds, after which this ends whatever is still going on


@dataclass(frozen=True, slots=True)
class Start:
    """What the gateway says when it starts this process."""

    config: Config
    settings: ShadowSettings
    address: str
    socket: Path
    secret: bytes

    @classmethod
    def read(cls, line: bytes) -> Start:
        told = json.loads(line)
        config = Config.model_validate(told["config"])
        assert config.shadow is not None
        return cls(config, config.shadow, told["address"], Path(told["socket"]), bytes.fromhex(told["secret"]))


def main(line: bytes) -> int:
    """Until stdin ends. The exit code; it says itself what is wrong with its settings or its store."""
    try:
        asyncio.run(_run(Start.read(line)))
    except (InputError, NoQueue, StoreUnavailable, ValueError) as error:
        tell(f"{error} Trying again")
        return 1
    return 0


def tell(message: str) -> None:
    """To people; no prompt and no answer is in it."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"shadow-eval: {message}\n".encode())


async def _run(start: Start) -> None:
    settings, source = start.settings, f"shadow-{os.getpid()}-{os.urandom(4).hex()}"
    with (
        await asyncio.to_thread(open_store, _url(settings), keep=settings.keep) as store,
        offering(settings, source, tell) as offers,
    ):
        writer = StoreWriter(store, source, wall, added=offers.added)
        client = GatewayClient(start.address, start.secret, timeout=_SILENCE)
        try:
            parts = await asyncio.to_thread(Parts, start, store, writer, client, offers, source)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(job) for job in parts.jobs()]
                await _end_of_stdin()
                # What is still written or scored has this long, and then goes as if the machine had failed.
                asyncio.get_running_loop().call_later(_LAST, os._exit, 0)
                for task in tasks:
                    task.cancel()
            parts.say_counts()
        finally:
            await client.aclose()
            await asyncio.to_thread(writer.close)


async def _end_of_stdin() -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(0, ended.set)  # nothing more ever comes but its end
    await ended.wait()
    loop.remove_reader(0)  # which would be called again and again


class Parts:
    """What runs, and what passes between its parts. Made in a thread: an index takes a second for a thousand tasks."""

    def __init__(
        self,
        start: Start,
        store: Store,
        writer: StoreWriter,
        client: GatewayClient,
        offers: Offers,
        source: str,
    ) -> None:
        """Raises InputError, ValueError or StoreUnavailable for what is wrong with suites, plan or store."""
        config, settings = start.config, start.settings
        short, long = config.routing.short, config.routing.long
        self._models, self._writer, self._store = (short, long), writer, store
        self._served = {pool.model: served_of(pool) for pool in config.pools}
        suites = [load(name) for name in settings.suites]
        known = [Known(suite_key(each), each, Matcher(each.tasks.values())) for each in suites]
        sides = {long: Side.SECOND, short: Side.FIRST}
        self._mix_file = mix_file()
        self._intake = Intake(known, self._served, sides, self._matched, self._count, read_mix(self._mix_file))
        self._mirrors: Mirrors | None = None
        if settings.mirror.enabled and short != long:
            spending = self._spending("mirror", store)
            mirror, secret = settings.mirror, start.secret
            self._mirrors = Mirrors(client, writer, spending, mirror, secret, priority=settings.priority)
        self._canaries: Canaries | None = None
        plan = canary_plan(config)
        drawn_from = load(plan.suite) if plan is not None else None
        if plan is not None and drawn_from is not None:
            served = partial(self._as_served, bare=plan.direct_completion)
            self._canaries = Canaries(
                plan,
                drawn_from,
                (served(plan.first.model), served(plan.second.model)),
                routing_tokens(next(pool for pool in config.pools if pool.model == short)),
                client,
                writer,
                self._spending("canary", store),
                store.evidence,
                start.secret,
                wall,
                mix=lambda: self._intake.mix,
                live_requests=lambda: sum(told.live for told in self._taps.values()),
                priority=settings.priority,
            )
        all_suites = [each for each in (*suites, drawn_from) if each is not None]
        self._rates = Rates(store.evidence, Groups(all_suites), wall)
        self._gate = GateAnswers(store.evidence, _url(settings), settings.gate, tell) if settings.gate else None
        self._offering = partial(offers.run, store, [suite_key(each) for each in all_suites])
        self._scorers: Scorers | None = None
        if settings.scorers:
            self._scorers = Scorers(store, suites, settings, source, tell, open_events(tell), offers.queue)
        self._receiver = Receiver(start.socket, self._take)
        self._taps: dict[str, Counted] = {}
        self._registry = CollectorRegistry()
        self._registry.register(ShadowMetrics(writer, self._scorers))

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        senders = [part.run() for part in (self._mirrors, self._scorers, self._gate) if part is not None]
        running = [self._receiver.run(), self._tell(), self._rates.run(), self._offering(), self._send_canaries()]
        return [*running, expire(self._store), *senders]

    def _spending(self, reason: str, store: Store) -> Spending:
        spending = Spending(reason, self._writer, wall)
        spending.restore(store.evidence)
        return spending

    async def _send_canaries(self) -> None:
        """What the live mix has nothing to draw for today it may have something for tomorrow."""
        while self._canaries is not None:
            try:
                await self._canaries.run()
            except (NothingToDraw, OSError, ValueError) as error:
                tell(f"no canaries are sent: {error}")
            else:
                return  # they are switched off
            await asyncio.sleep(_NO_CANARIES)

    # -- what comes in ------------------------------------------------------------------------------------------------

    def _take(self, message: Taken) -> None:
        if isinstance(message, Observed):
            self._observe(message)
        elif isinstance(message, Counted):
            self._taps[message.source] = message
        elif message.again or message.until - message.since > _LONG_START:
            why = "no shadow process listened to the gateway"
            self._writer.gap(Gap(message.source, message.since, why, until=message.until))

    def _observe(self, observed: Observed) -> None:
        """A fault of ours costs one sample, and is told by its type: the rest may quote a prompt."""
        try:
            self._intake.take(observed)
        except Exception as error:
            self._count(Counter.DROPPED, observed.model, "fault")
            tell(f"a sample was lost by a fault: {type(error).__name__}")

    def _matched(self, found: MatchedSample) -> None:
        """A sample with its live run, and with the other family's where it is mirrored."""
        if self._mirrors is None or found.run.state is not State.WAITING:
            self._writer.add(found.sample, found.run)
            return
        bare = found.run.served.template == NO_TEMPLATE
        other = self._as_served(self._models[found.run.side is Side.FIRST], bare=bare)
        self._mirrors.offer(Matched(found.sample, found.run, other, found.route, found.body, found.public))

    def _as_served(self, model: str, *, bare: bool) -> Served:
        served = self._served[model]
        return replace(served, template=NO_TEMPLATE) if bare else served

    def _count(self, counter: Counter, model: str, reason: str) -> None:
        self._writer.count(counter, model=model, reason=reason)

    # -- what is told -------------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_TELL)
            self.say_counts()
            own = await asyncio.to_thread(generate_latest, self._registry)
            self._receiver.expose(own + self._rates.text + (self._gate.text if self._gate is not None else b""))

    def say_counts(self) -> None:
        write_mix(self._mix_file, self._intake.mix)
        for source, told in self._taps.items():
            sampled = [Total(told.day, Counter.SAMPLED, value, model=name) for name, value in told.sampled.items()]
            dropped = [Total(told.day, Counter.DROPPED, value, reason=name) for name, value in told.dropped.items()]
            self._writer.totals(source, [*sampled, *dropped])


def wall() -> float:
    return datetime.now(UTC).timestamp()


def _url(settings: ShadowSettings) -> str:
    return settings.store or environment("YARDSTICK_SHADOW_STORE") or f"sqlite:///{data_dir() / 'shadow.db'}"


def routing_tokens(pool: PoolSettings) -> RoutingTokens:
    """Of the short pool, by whose tokens prompts are routed."""
    assert pool.tokenizer is not None  # or the plan would have been refused
    counter, model = load_counter(pool.tokenizer), MODELS[pool.model]
    count = partial(_count, counter)
    if model.chat_template is None:
        return RoutingTokens(count)
    return RoutingTokens(count, count(render(model, {"messages": [{"role": "user", "content": ""}]})))


def _count(counter: Any, text: str) -> int:
    tokens: int = counter.count(text, len(text.encode()) + 1, special=True).tokens
    return tokens
