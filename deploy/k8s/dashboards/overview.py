"""Overview: how long requests take, how many there are, and what goes wrong."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from deploy.k8s.dashboards import layout, recorded
from deploy.k8s.dashboards.layout import Section, Variable
from deploy.k8s.dashboards.panels import COUNT, PER_SECOND, SECONDS, SHARE, About, Panel, Query, lines, number
from deploy.k8s.dashboards.queries import counter, gauge, quantile, rate, rates, share_by, share_of, total
from gateway.telemetry import names

QUANTILES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
FAILED = 'outcome=~"gateway_error|upstream_error"'
MODEL = Variable("model", "Model", names.ENDPOINT_UP.name, "model")
_REQUESTS = counter(names.REQUESTS)
_HOW_TO_READ = (
    "Computed within buckets, so no finer than they are; no line where nothing ended. By length: the prompt has at "
    "most so many tokens."
)


def dashboard() -> models.Dashboard:
    return layout.dashboard(
        "yardstick-overview",
        "Yardstick / Overview",
        "What clients see: times by model and by prompt length, errors, throughput. A gateway sees chunks, not tokens.",
        [MODEL],
        [
            Section("Now", _now()),
            Section("Time to first chunk (TTFT)", _times("TTFT", names.FIRST_CHUNK, _ABOUT_TTFT)),
            Section(
                "Time per output chunk (the gateway's view of ITL)",
                _times("Time per output chunk", names.CHUNK, _ABOUT_CHUNKS),
            ),
            Section("End to end (E2E)", _times("E2E", names.DURATION, _ABOUT_E2E)),
            Section("Outcomes", _outcomes()),
            Section("Throughput", _throughput()),
            Section("The gateway itself", [*_gateway(), *_process()]),
            Section("Days and weeks (needs the recording rules)", _long(), folded=True),
        ],
    )


_ABOUT_TTFT = (
    "Of streams: from the request's last byte to the first output chunk that goes to the client: queueing and prefill "
    "on the model server, mostly. "
    "If it grows: look at waiting requests and KV use on the Engines dashboard, and at where long prompts go on "
    "Routing."
)
_ABOUT_CHUNKS = (
    "(last chunk - first chunk) / (chunks - 1) of each stream with at least two chunks. It is of chunks, since a "
    "gateway does not see tokens: "
    "a model server may put several tokens in one chunk (vLLM's own time per token is on the Engines dashboard, and "
    "is never less exact). "
    "If it grows: batches are large, or long prefills hold up decoding."
)
_ABOUT_E2E = (
    "Of whole answers: from the request's last byte to the answer's last. It grows with the length of answers, which "
    "clients choose: "
    "compare with the output tokens below before blaming the model server."
)


def _times(short: str, histogram: names.Name, description: str) -> list[Panel]:
    """By model with all quantiles in one plot, then by prompt length, a plot for each quantile."""
    text = f"{description} {_HOW_TO_READ}"
    by_model = [Query(quantile(share, histogram.name, "model"), f"{{{{model}}}} {name}") for share, name in QUANTILES]
    return [
        lines(About(f"{short} by model", text, SECONDS, 6), *by_model, log=True),
        *(
            lines(
                About(f"{short} {name} by prompt length", text, SECONDS, 6),
                Query(quantile(share, histogram.name, "length"), "{{length}}"),
                log=True,
            )
            for share, name in QUANTILES
        ),
    ]


def _now() -> list[Panel]:
    return [
        number(
            About("Requests", "Requests that ended, per second.", PER_SECOND, 4),
            Query(total("", rate(_REQUESTS))),
        ),
        number(
            About(
                "Failed",
                "Share of requests that ended in a gateway_error or upstream_error; what clients cause does not "
                "count. From 1 % on look at "
                "Outcomes below, from 5 % on at endpoints and ejections on Routing.",
                SHARE,
                4,
            ),
            Query(share_of(FAILED, _REQUESTS)),
            [(0.01, "orange"), (0.05, "red")],
        ),
        number(
            About(
                "TTFT p95",
                "Of all chosen models. No threshold: what is acceptable depends on your prompts' lengths.",
                SECONDS,
                4,
            ),
            Query(quantile(0.95, names.FIRST_CHUNK.name)),
        ),
        number(
            About("Output tokens", "Per second, as the model servers report them in `usage`.", PER_SECOND, 4),
            Query(total("", rate(counter(names.OUTPUT_TOKENS)))),
        ),
        number(
            About("In flight", "Attempts that were sent to model servers and have not ended.", COUNT, 4),
            Query(gauge("", names.IN_FLIGHT.name)),
        ),
        number(
            About(
                "Gateway overhead p99",
                "From a request's last byte until it is on its way upstream. Counting long prompts near the threshold "
                "takes milliseconds; from 50 ms "
                "on the process is short of CPU: start more workers or replicas.",
                SECONDS,
                4,
            ),
            Query(quantile(0.99, names.OVERHEAD.name)),
            [(0.05, "orange"), (0.5, "red")],
        ),
    ]


def _outcomes() -> list[Panel]:
    return [
        lines(
            About(
                "Requests by outcome",
                "ok; client_error: a 4xx that the client caused; gateway_error: our own fault, each leaves a log "
                "line; upstream_error: the model server "
                "refused, broke off or was late; cancelled: the client left, which is ordinary for completions in an "
                "editor.",
                PER_SECOND,
                8,
            ),
            Query(rates("outcome", _REQUESTS), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            About(
                "Share of each outcome",
                "The same as shares of all requests. A step in upstream_error with one model: see Failed by model, "
                "then the Routing dashboard.",
                SHARE,
                8,
            ),
            Query(share_by("outcome", _REQUESTS), "{{outcome}}"),
        ),
        lines(
            About(
                "Failed by model",
                "Share of a model's requests that ended in a gateway_error or upstream_error; 0 while none did. Above "
                "1 % (orange) and 5 % (red): "
                "look at its endpoints and ejections on Routing.",
                SHARE,
                8,
            ),
            Query(share_of(FAILED, _REQUESTS, "model"), "{{model}}"),
            steps=[(0.01, "orange"), (0.05, "red")],
        ),
    ]


def _throughput() -> list[Panel]:
    return [
        lines(
            About(
                "Requests by model",
                "Requests that ended, by the model that was chosen. Those for which none was chosen were refused "
                "before: see client_error.",
                PER_SECOND,
                8,
            ),
            Query(rates("model", _REQUESTS), "{{model}}"),
            stacked=True,
        ),
        lines(
            About(
                "Prompt tokens by model",
                "Per second, as the model servers report them. High on the short model: prompts near the threshold; "
                "see Routing.",
                PER_SECOND,
                8,
            ),
            Query(rates("model", counter(names.PROMPT_TOKENS)), "{{model}}"),
            stacked=True,
        ),
        lines(
            About(
                "Output tokens by model",
                "Per second, as the model servers report them, streams too. Flat while requests grow: the model "
                "servers are at their limit.",
                PER_SECOND,
                8,
            ),
            Query(rates("model", counter(names.OUTPUT_TOKENS)), "{{model}}"),
            stacked=True,
        ),
    ]


def _gateway() -> list[Panel]:
    overhead = [
        Query(quantile(share, names.OVERHEAD.name, "model"), f"{{{{model}}}} {name}")
        for share, name in (QUANTILES[0], QUANTILES[2])
    ]
    return [
        lines(
            About(
                "Gateway overhead by model",
                "From a request's last byte until it is on its way upstream: reading, deciding, counting where the "
                "length is near the threshold, picking. "
                "If p99 passes 50 ms (dashed) the process is short of CPU: start more workers or replicas. "
                + _HOW_TO_READ,
                SECONDS,
                6,
            ),
            *overhead,
            steps=[(0.05, "orange"), (0.5, "red")],
            log=True,
        ),
        lines(
            About(
                "In flight by model",
                "Attempts that were sent and have not ended, all gateways together. Growing without more requests: "
                "model servers slow down.",
                COUNT,
                6,
            ),
            Query(gauge("model", names.IN_FLIGHT.name), "{{model}}"),
            stacked=True,
        ),
    ]


def _process() -> list[Panel]:
    return [
        lines(
            About(
                "Bytes to clients",
                "Bytes of answers, by model.",
                "Bps",
                6,
            ),
            Query(rates("model", counter(names.RELAYED_BYTES)), "{{model}}"),
        ),
        lines(
            About(
                "Connections, configurations, lost log lines and traces",
                "Client connections. Configurations in use: more than one for longer than a rollout means that "
                "gateways disagree. Refused: changed configurations that were wrong, since the start; the log says "
                "why. Log lines that were thrown away, per second: whoever reads the log is too slow. Traces that the "
                "limit (traces.per_second) left out, per second, and spans that the receiver did not take.",
                COUNT,
                6,
            ),
            Query(gauge("", names.OPEN_CONNECTIONS.name, where=""), "connections"),
            Query(f"count(count by (hash) ({names.CONFIG_IN_USE.name}))", "configurations in use"),
            Query(gauge("", counter(names.CONFIG_RELOADS), 'outcome="refused"'), "refused configurations"),
            Query(total("", rate(counter(names.LOG_LINES_DROPPED), "")), "lost log lines/s"),
            Query(total("", rate(counter(names.TRACES), 'outcome="dropped"')), "dropped traces/s"),
            Query(total("", rate(counter(names.SPANS), 'outcome="lost"')), "lost spans/s"),
        ),
    ]


def _long() -> list[Panel]:
    about = (
        "From recorded series: the same as above in windows of five minutes, cheap over days and weeks. Empty unless "
        "Prometheus has loaded the "
        "recording rules (deploy/k8s/rules)."
    )
    return [
        lines(
            About("TTFT by model, recorded", about, SECONDS, 6),
            *(Query(recorded.selected(recorded.FIRST_CHUNK[name]), f"{{{{model}}}} {name}") for _, name in QUANTILES),
            log=True,
        ),
        lines(
            About("E2E by model, recorded", about, SECONDS, 6),
            *(Query(recorded.selected(recorded.DURATION[name]), f"{{{{model}}}} {name}") for _, name in QUANTILES),
            log=True,
        ),
        lines(
            About("Failed by model, recorded", about, SHARE, 6),
            Query(recorded.selected(recorded.FAILED), "{{model}}"),
            steps=[(0.01, "orange"), (0.05, "red")],
        ),
        lines(
            About("Requests by model, recorded", about, PER_SECOND, 6),
            Query(recorded.summed(recorded.REQUESTS), "{{model}}"),
            stacked=True,
        ),
    ]
