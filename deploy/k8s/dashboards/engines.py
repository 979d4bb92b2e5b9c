"""Engines: what vLLM says of itself, and beside it, in plots of their own, what the gateway saw of the same servers.

vLLM's names are those of version 0.32. It counts tokens and the gateway chunks, and its clock starts when a request
reaches it: figures of the two stand side by side and never in one plot.
"""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from deploy.k8s.dashboards import layout
from deploy.k8s.dashboards.layout import Section, Variable
from deploy.k8s.dashboards.overview import FAILED, MODEL, QUANTILES
from deploy.k8s.dashboards.panels import COUNT, PER_SECOND, SECONDS, SHARE, About, Panel, Query, lines, states
from deploy.k8s.dashboards.queries import OF_SERVED, counter, gauge, quantile, rates, ratio, share_of
from gateway.telemetry import names

_SERVED = Variable("served", "Model served by vLLM", "vllm:num_requests_running", "model_name")
_EACH, _NAMED = "model_name, instance", "{{model_name}} {{instance}}"


def dashboard() -> models.Dashboard:
    return layout.dashboard(
        "yardstick-engines",
        "Yardstick / Engines",
        "vLLM's own metrics (0.32), and what the gateway saw of the same model servers. The two count differently: "
        "compare courses, not values.",
        [_SERVED, MODEL],
        [
            Section("vLLM: load and memory", [*_load(), *_cache()]),
            Section("vLLM: times by its own clock, in tokens", _times()),
            Section("vLLM: throughput and ends", _throughput()),
            Section("Seen by the gateway, in chunks", _seen()),
        ],
    )


def _vllm(metric: str, how: str = "sum") -> str:
    return gauge(_EACH, metric, OF_SERVED, how)


def _load() -> list[Panel]:
    return [
        lines(
            About(
                "KV cache in use",
                "Share of the blocks. From 90 % (orange) on new requests wait, at 100 % (red from 98 %) running ones "
                "are preempted and computed anew. Lower "
                "`max_num_seqs`, add endpoints, or give the model more GPUs (`yardstick engine plan` says how many "
                "sequences fit).",
                SHARE,
                8,
            ),
            Query(_vllm("vllm:kv_cache_usage_perc", "max"), _NAMED),
            steps=[(0.9, "orange"), (0.98, "red")],
        ),
        lines(
            About(
                "Running",
                "Requests in vLLM's batch. Constant at `max_num_seqs` with others waiting: the server is full.",
                COUNT,
                8,
            ),
            Query(_vllm("vllm:num_requests_running"), _NAMED),
        ),
        lines(
            About(
                "Waiting",
                "Requests in vLLM's queue, by why: capacity (no room in the batch or the cache) or deferred. Steadily "
                "above 0: add endpoints, or look whether "
                "long prompts reach the short model (Routing).",
                COUNT,
                8,
            ),
            Query(
                gauge("model_name, instance, reason", "vllm:num_requests_waiting_by_reason", OF_SERVED),
                f"{_NAMED} {{{{reason}}}}",
            ),
            stacked=True,
        ),
    ]


def _cache() -> list[Panel]:
    return [
        lines(
            About(
                "Preemptions",
                "Per second: running requests that lost their place in the cache. Their work is done again, so TTFT "
                "of others and the time per token grow. "
                "More than now and then: as for KV cache in use.",
                PER_SECOND,
                8,
            ),
            Query(rates(_EACH, "vllm:num_preemptions_total", OF_SERVED), _NAMED),
        ),
        lines(
            About(
                "Prefix cache hits",
                "Share of prompt tokens that were found in the cache. Low for chats and agents: do their requests "
                "begin alike, and do they meet the same "
                "endpoint (prefix affinity)? No line where no prompt came.",
                SHARE,
                8,
            ),
            Query(ratio("vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total", _EACH, OF_SERVED), _NAMED),
        ),
        lines(
            About(
                "Turned away by the queue's limit",
                "Per second, by which limit: the gateway tries another endpoint and then says 503. Above 0: the pool "
                "is too small for its peaks.",
                PER_SECOND,
                8,
            ),
            Query(
                rates("model_name, instance, reason", "vllm:admission_rejections_total", OF_SERVED),
                f"{_NAMED} {{{{reason}}}}",
            ),
        ),
    ]


def _vllm_times(title: str, description: str, histogram: str) -> Panel:
    asked = [
        Query(quantile(share, f"vllm:{histogram}", "model_name", OF_SERVED), f"{{{{model_name}}}} {name}")
        for share, name in QUANTILES
    ]
    return lines(About(title, description, SECONDS, 6), *asked, log=True)


def _times() -> list[Panel]:
    return [
        _vllm_times(
            "vLLM's time to first token",
            "From a request's arrival at vLLM. Much below the gateway's TTFT: requests wait on the way. High together "
            "with the queue below: too few endpoints.",
            "time_to_first_token_seconds",
        ),
        _vllm_times(
            "vLLM's time in queue",
            "Until a request is first scheduled. Anything but short: the batch or the cache is full.",
            "request_queue_time_seconds",
        ),
        _vllm_times(
            "vLLM's prefill time",
            "From the first scheduling to the first token. It grows with prompts' lengths, and when long prefills "
            "share a batch.",
            "request_prefill_time_seconds",
        ),
        _vllm_times(
            "vLLM's time between tokens (ITL)",
            "By vLLM's clock and in tokens, unlike the gateway's time per output chunk. High p99 with a low p50: "
            "prefills hold up decoding.",
            "inter_token_latency_seconds",
        ),
    ]


def _throughput() -> list[Panel]:
    return [
        lines(
            About(
                "Prompt tokens computed",
                "Prefill tokens per second, those from the cache among them. At its limit: TTFT grows with load.",
                PER_SECOND,
                8,
            ),
            Query(rates(_EACH, "vllm:prompt_tokens_total", OF_SERVED), _NAMED),
            stacked=True,
        ),
        lines(
            About(
                "Tokens generated",
                "Per second. At its limit: the time between tokens grows with load.",
                PER_SECOND,
                8,
            ),
            Query(rates(_EACH, "vllm:generation_tokens_total", OF_SERVED), _NAMED),
            stacked=True,
        ),
        lines(
            About(
                "Finished by reason",
                "Per second. Much `length`: clients' max_tokens cuts answers. `error`: see vLLM's log. vLLM does not "
                "count requests whose client left; the gateway "
                "does (cancelled on the Overview).",
                PER_SECOND,
                8,
            ),
            Query(
                rates("model_name, finished_reason", "vllm:request_success_total", OF_SERVED),
                "{{model_name}} {{finished_reason}}",
            ),
            stacked=True,
        ),
    ]


def _seen() -> list[Panel]:
    each, named = "model, endpoint", "{{model}} {{endpoint}}"
    first = [
        Query(quantile(share, names.FIRST_CHUNK.name, "model"), f"{{{{model}}}} {name}") for share, name in QUANTILES
    ]
    return [
        lines(
            About(
                "In flight, by the gateway",
                "Attempts sent and not ended: compare with running and waiting above. More here than there: other "
                "gateways or clients, or connections that hang.",
                COUNT,
                6,
            ),
            Query(gauge(each, names.IN_FLIGHT.name), named),
        ),
        states(
            About(
                "Up, by the gateway",
                "Whether the endpoint answered when last asked. Down here while vLLM's metrics go on: the network "
                "between them.",
                COUNT,
                6,
            ),
            Query(gauge(each, names.ENDPOINT_UP.name, how="min"), named),
            {"0": ("down", "red"), "1": ("up", "green")},
        ),
        lines(
            About(
                "Failed, by the gateway",
                "Share of a model's requests that ended in a gateway_error or upstream_error. Above 1 % (orange) and "
                "5 % (red): see Ejections on Routing and vLLM's log.",
                SHARE,
                6,
            ),
            Query(share_of(FAILED, counter(names.REQUESTS), "model"), "{{model}}"),
            steps=[(0.01, "orange"), (0.05, "red")],
        ),
        lines(
            About(
                "Time to first chunk, by the gateway",
                "What clients wait for. The difference to vLLM's own is the way, the gateway's queue, and second "
                "attempts.",
                SECONDS,
                6,
            ),
            *first,
            log=True,
        ),
    ]
