"""The ``vllm:*`` metrics of vLLM 0.32: same names, labels and buckets, moved by the simulated engine.

Metrics of features that are not simulated (FLOPS estimates, external caches, images, sleep) are there and stay at rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from gateway.engines.simulated.kv import BLOCK_TOKENS
from gateway.engines.simulated.settings import SimulatedSettings

FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")
_LATENCY = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_ITL = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_TTFT = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
    160,
    640,
    2560,
)
_STEP = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_AT_REST = (
    ("estimated_flops_per_gpu", "Estimated number of floating point operations per GPU."),
    ("estimated_read_bytes_per_gpu", "Estimated number of bytes read from memory per GPU."),
    ("estimated_write_bytes_per_gpu", "Estimated number of bytes written to memory per GPU."),
    ("external_prefix_cache_queries", "External prefix cache queries, in tokens."),
    ("external_prefix_cache_hits", "External prefix cache hits, in tokens."),
    ("mm_cache_queries", "Multi-modal cache queries, in items."),
    ("mm_cache_hits", "Multi-modal cache hits, in items."),
)
W = TypeVar("W", bound=MetricWrapperBase)


@dataclass(frozen=True)
class SequenceTimes:
    """When things happened to one finished sequence, in seconds of the engine's clock."""

    arrived: float
    queued: float
    scheduled: float
    first_token: float
    last_token: float


class EngineMetrics:
    def __init__(self, settings: SimulatedSettings) -> None:
        self.registry = CollectorRegistry()
        self._labels = {"model_name": settings.model, "engine": "0"}
        self._counters()
        self._gauges(settings)
        self._histograms(settings.window)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def prompt_computed(self, prompt: int, cached: int) -> None:
        """A prompt gave its first token; so many of its tokens were found in the prefix cache."""
        self.prompt_tokens.inc(prompt)
        self.prompt_by_source["local_compute"].inc(prompt - cached)
        self.prompt_by_source["local_cache_hit"].inc(cached)
        self.prompt_cached.inc(cached)
        self.cached_by_tier["device"].inc(cached)

    def finished(
        self, times: SequenceTimes, *, prompt: int, computed: int, generated: int, preemptions: int, reason: str
    ) -> None:
        """A sequence reached its end. Aborted ones are not reported here: vLLM does not count them either."""
        self.success[reason].inc()
        self._prompt.observe(prompt)
        self._computed.observe(computed)
        self._generated.observe(generated)
        self._preemptions.observe(preemptions)
        self._e2e.observe(times.last_token - times.arrived)
        self._queue.observe(times.scheduled - times.queued)
        self._prefill.observe(times.first_token - times.scheduled)
        self._decode.observe(times.last_token - times.first_token)
        self._inference.observe(times.last_token - times.scheduled)
        if generated > 1:
            self._tpot.observe((times.last_token - times.first_token) / (generated - 1))

    def parameters(self, *, n: int, max_tokens: int, generated: int) -> None:
        """A whole request reached its end; ``generated`` is its longest sequence."""
        self._params_n.observe(n)
        self._params_max_tokens.observe(max_tokens)
        self._max_generated.observe(generated)

    def _own(self, build: Callable[..., W], name: str, text: str, labels: tuple[str, ...] = (), **more: object) -> W:
        names = ("model_name", "engine", *labels)
        return build(f"vllm:{name}", text, names, registry=self.registry, **more)

    def _counter(self, name: str, text: str) -> Counter:
        return self._own(Counter, name, text).labels(**self._labels)

    def _by(self, name: str, text: str, label: str, values: tuple[str, ...]) -> dict[str, Counter]:
        metric = self._own(Counter, name, text, (label,))
        return {value: metric.labels(**self._labels, **{label: value}) for value in values}

    def _counters(self) -> None:
        for name, text in _AT_REST:
            self._counter(name, text)
        self.preemptions = self._counter("num_preemptions", "Cumulative number of preemptions.")
        self.prefix_queries = self._counter("prefix_cache_queries", "Prefix cache queries, in tokens.")
        self.prefix_hits = self._counter("prefix_cache_hits", "Prefix cache hits, in tokens.")
        self.prompt_tokens = self._counter("prompt_tokens", "Number of prefill tokens processed.")
        sources = ("local_compute", "local_cache_hit", "external_kv_transfer")
        self.prompt_by_source = self._by("prompt_tokens_by_source", "Prompt tokens by source.", "source", sources)
        self.prompt_cached = self._counter("prompt_tokens_cached", "Number of cached prompt tokens.")
        tiers = ("device", "host", "p2p", "disk", "external_unspecified")
        self.cached_by_tier = self._by("prompt_tokens_cached_by_source", "Cached tokens by tier.", "source", tiers)
        self.generation_tokens = self._counter("generation_tokens", "Number of generation tokens processed.")
        self.success = self._by("request_success", "Count of finished requests.", "finished_reason", FINISH_REASONS)
        limits = ("max_num_queued_reqs", "max_num_queued_tokens")
        rejections = Counter(
            "vllm:admission_rejections",
            "Number of admission attempts rejected by a queue limit, by reason.",
            ("model_name", "reason"),
            registry=self.registry,
        )
        name = self._labels["model_name"]
        self.rejections = {limit: rejections.labels(model_name=name, reason=limit) for limit in limits}

    def _gauges(self, settings: SimulatedSettings) -> None:
        self.running = self._own(Gauge, "num_requests_running", "Requests in execution.").labels(**self._labels)
        self.waiting = self._own(Gauge, "num_requests_waiting", "Requests waiting.").labels(**self._labels)
        by_reason = self._own(Gauge, "num_requests_waiting_by_reason", "Waiting requests by reason.", ("reason",))
        self.waiting_for_capacity = by_reason.labels(**self._labels, reason="capacity")
        by_reason.labels(**self._labels, reason="deferred")
        sleep = self._own(Gauge, "engine_sleep_state", "Engine sleep state.", ("sleep_state",))
        for state, value in (("awake", 1), ("weights_offloaded", 0), ("discard_all", 0)):
            sleep.labels(**self._labels, sleep_state=state).set(value)
        self.kv_usage = self._own(Gauge, "kv_cache_usage_perc", "KV-cache usage, 1 is full.").labels(**self._labels)
        cache = {
            "block_size": str(BLOCK_TOKENS),
            "cache_dtype": "auto",
            "enable_prefix_caching": str(settings.enable_prefix_caching),
            "gpu_memory_utilization": "0.92",
            "kv_cache_size_tokens": str(settings.num_gpu_blocks * BLOCK_TOKENS),
            "num_gpu_blocks": str(settings.num_gpu_blocks),
        }
        names = ("engine", *cache)
        info = Gauge("vllm:cache_config_info", "Information of the CacheConfig", names, registry=self.registry)
        info.labels(engine="0", **cache).set(1)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return self._own(Histogram, name, text, buckets=buckets).labels(**self._labels)

    def _histograms(self, window: int) -> None:
        sizes = _one_two_five(window)
        self._prompt = self._histogram("request_prompt_tokens", "Prefill tokens of a request.", sizes)
        self._generated = self._histogram("request_generation_tokens", "Generated tokens of a request.", sizes)
        self.step_tokens = self._histogram("iteration_tokens_total", "Number of tokens per engine step.", _STEP)
        most = "Longest generation of a request."
        self._max_generated = self._histogram("request_max_num_generation_tokens", most, sizes)
        self._params_n = self._histogram("request_params_n", "The n request parameter.", (1, 2, 5, 10, 20))
        self._params_max_tokens = self._histogram("request_params_max_tokens", "The max_tokens parameter.", sizes)
        self.ttft = self._histogram("time_to_first_token_seconds", "Time to first token.", _TTFT)
        self.itl = self._histogram("inter_token_latency_seconds", "Inter-token latency.", _ITL)
        self._tpot = self._histogram("request_time_per_output_token_seconds", "Time per output token.", _ITL)
        self._e2e = self._histogram("e2e_request_latency_seconds", "End-to-end latency.", _LATENCY)
        self._queue = self._histogram("request_queue_time_seconds", "Time spent waiting.", _LATENCY)
        self._inference = self._histogram("request_inference_time_seconds", "Time spent running.", _LATENCY)
        self._prefill = self._histogram("request_prefill_time_seconds", "Time spent in prefill.", _LATENCY)
        self._decode = self._histogram("request_decode_time_seconds", "Time spent in decode.", _LATENCY)
        times = (1, 2, 3, 4, 5, 10, 20)
        self._preemptions = self._histogram("request_num_preemptions", "Preemptions of a request.", times)
        computed = "New KV tokens computed during prefill."
        self._computed = self._histogram("request_prefill_kv_computed_tokens", computed, sizes)


def _one_two_five(most: int) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, 50, ... up to ``most``."""
    buckets: list[float] = []
    scale = 1
    while scale <= most:
        buckets += [scale * digit for digit in (1, 2, 5) if scale * digit <= most]
        scale *= 10
    return tuple(buckets)
