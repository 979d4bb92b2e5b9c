"""All that one reading of the configuration decides. A reload puts a new generation in the old one's place.

What the new one has in common with the old one is handed over: endpoints whose settings did not change, with their
connections and their state, and what is known of the lengths of prompts. A request keeps the generation it began with.
"""

from __future__ import annotations

import functools
import hashlib
import random
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.clock import Clock
from gateway.config import Config, EndpointSettings, PoolSettings
from gateway.decide import Decider
from gateway.discovery import Discovery, Report
from gateway.families import MODELS
from gateway.keys import Keys
from gateway.pools import Pool
from gateway.serve import Serve, Tap
from gateway.telemetry.record import Recorder
from gateway.tokens import Counter, Remote, Tokens, load_counter
from gateway.upstream import Endpoint, Upstream
from routing.health import EjectionRule

CounterId = tuple[object, ...]  # a tokenizer's name and, of a file, its size and time: it may have been replaced
EndpointId = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """What is read from files for a generation; it takes seconds, and no event loop."""

    config: Config
    keys: Keys | None
    counters: Mapping[str, tuple[CounterId, Counter]]  # by the tokenizer's name in the configuration

    @classmethod
    def read(cls, config: Config, before: Material | None = None) -> Material:
        """Reads the key file and the tokenizers, those that did not change from ``before``. Raises ValueError."""
        keys = Keys.load(Path(config.api_key_file)) if config.api_key_file else None
        return cls(config, keys, {}).with_counters(before)

    def with_counters(self, before: Material | None = None) -> Material:
        """With its tokenizers, which take megabytes and need not be sent between processes. Raises ValueError."""
        counters = {}
        for source in {pool.tokenizer for pool in self.config.pools if pool.tokenizer}:
            identity = _counter_id(source)
            known = before.counters.get(source) if before is not None else None
            counters[source] = known if known and known[0] == identity else (identity, load_counter(source))
        return Material(self.config, self.keys, counters)

    def counter(self, model: str) -> Counter | None:
        """That of the model's pool; None if it has no tokenizer."""
        sources = (pool.tokenizer for pool in self.config.pools if pool.model == model)
        return next((self.counters[source][1] for source in sources if source), None)

    def without_counters(self) -> Material:
        return Material(self.config, self.keys, {})

    @property
    def fingerprint(self) -> str:
        """The same for the same settings; says nothing of the secrets among them."""
        return hashlib.sha256(self.config.model_dump_json().encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Generation:
    material: Material
    endpoints: Mapping[EndpointId, Endpoint]
    pools: dict[str, Pool]
    decider: Decider
    upstream: Upstream
    serve: Serve
    discovery: Discovery

    @property
    def config(self) -> Config:
        return self.material.config

    @property
    def keys(self) -> Keys | None:
        return self.material.keys

    def labelled_endpoints(self) -> list[tuple[str, Endpoint]]:
        return [(name, endpoint) for name, pool in self.pools.items() for endpoint in pool.endpoints]


class Builder:
    """Makes generations. ``threads`` are those that count; ``current`` is the generation being served."""

    def __init__(
        self,
        clock: Clock,
        threads: Executor,
        recorder: Recorder,
        report: Report,
        current: Callable[[], Generation],
        tap: Tap | None = None,
    ) -> None:
        self._clock = clock
        self._threads = threads
        self._recorder = recorder
        self._report = report
        self._current = current
        self._tap = tap

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        """One for all endpoints: to read the system's certificates takes tens of milliseconds."""
        return ssl.create_default_context()

    def build(self, material: Material, before: Generation | None) -> Generation:
        config = material.config
        upstream = Upstream(self._clock, config.timeouts)
        endpoints: dict[EndpointId, Endpoint] = {}
        pools = {}
        for settings in config.pools:
            own = {_endpoint_id(settings.model, each): each for each in settings.endpoints}
            kept = before.endpoints if before is not None else {}
            endpoints.update((known, kept.get(known) or self._endpoint(each)) for known, each in own.items())
            placed = [endpoints[known] for known in own]
            pools[settings.model] = self._pool(settings, material, placed, before)
        decider = Decider(config, pools)
        serve = Serve(config, self._clock, pools, decider, upstream, self._recorder, self._tap)
        discovery = Discovery(list(pools.values()), upstream, self._report, config.probes)
        return Generation(material, endpoints, pools, decider, upstream, serve, discovery)

    def _endpoint(self, settings: EndpointSettings) -> Endpoint:
        url = urlsplit(settings.base_url)
        tls = self._tls if url.scheme == "https" else None
        endpoint = Endpoint(
            url.hostname or "",
            url.port or (443 if tls else 80),
            prefix=url.path,
            tls=tls,
            api_key=settings.key() or "",
        )
        endpoint.configured_name = settings.served_name
        return endpoint

    def _pool(
        self, settings: PoolSettings, material: Material, endpoints: list[Endpoint], before: Generation | None
    ) -> Pool:
        config = material.config
        return Pool(
            settings,
            MODELS[settings.model],
            endpoints,
            self._tokens(settings, material, before),
            ejection=EjectionRule(**config.ejection.model_dump()),
            draw=random.randrange if config.workers > 1 else None,
            report=self._report,
        )

    def _tokens(self, settings: PoolSettings, material: Material, before: Generation | None) -> Tokens:
        """The old pool's, with what it has learned, if the same would count."""
        counter = material.counter(settings.model)
        if before is not None and settings.model in before.pools and before.material.counter(settings.model) is counter:
            return before.pools[settings.model].tokens
        remote = self._remote(settings.model)
        return Tokens(MODELS[settings.model], self._threads, counter=counter, remote=remote)

    def _remote(self, model: str) -> Remote:
        async def tokenize(body: bytes) -> tuple[int, bytes]:
            """The model server's own count, for a pool without a tokenizer."""
            current = self._current()
            pool = current.pools.get(model)
            for endpoint in pool.endpoints if pool is not None else ():
                if endpoint.up:
                    return await current.upstream.fetch(endpoint, "POST", "/tokenize", body, seconds=10.0)
            return 503, b""

        return tokenize


def _counter_id(source: str) -> CounterId:
    try:
        found = Path(source).expanduser().stat()
    except OSError:
        return (source,)
    return source, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _endpoint_id(model: str, settings: EndpointSettings) -> EndpointId:
    return model, settings.base_url, settings.key(), settings.served_name
