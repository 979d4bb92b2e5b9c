"""Routing: where prompts go and why, how long they are, and how the endpoints fare."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from deploy.k8s.dashboards import layout
from deploy.k8s.dashboards.layout import Section
from deploy.k8s.dashboards.overview import MODEL
from deploy.k8s.dashboards.panels import (
    COUNT,
    PER_SECOND,
    SHARE,
    About,
    Panel,
    Query,
    buckets_now,
    buckets_over_time,
    lines,
    number,
    states,
)
from deploy.k8s.dashboards.queries import OF_MODEL, counter, gauge, increases, quantile, rates, share_by, share_of
from gateway.telemetry import names

_DECISIONS = counter(names.DECISIONS)
_LENGTHS = f"{names.PROMPT_LENGTH.name}_bucket"
_THRESHOLD = gauge("", names.THRESHOLD.name, where="", how="max")
_TOKENS = "suffix: tokens"


def dashboard() -> models.Dashboard:
    return layout.dashboard(
        "yardstick-routing",
        "Yardstick / Routing",
        "Where prompts go and why, their lengths against the threshold, and the endpoints they are sent to.",
        [MODEL],
        [
            Section("Now", [*_where_now(), *_endpoints_now()]),
            Section("Where prompts go, and why", _decisions()),
            Section("Prompt lengths against the threshold", _lengths()),
            Section("Endpoints", [*_states(), *_events()]),
        ],
    )


def _where_now() -> list[Panel]:
    long, standing_in, counted = 'reason=~"long-prompt|short-window"', 'reason="short-unavailable"', 'method="counted"'
    return [
        number(
            About(
                "Threshold",
                "`auto` sends prompts of at most so many tokens to the short model. Change it with "
                "`routing.threshold`; `yardstick shadow threshold` says "
                "what other values would do.",
                _TOKENS,
                4,
            ),
            Query(_THRESHOLD),
        ),
        number(
            About(
                "Too long for the short model",
                "Share of decisions for the long model because the prompt is beyond the threshold or the short "
                "model's window.",
                SHARE,
                4,
            ),
            Query(share_of(long, _DECISIONS)),
        ),
        number(
            About(
                "Standing in",
                "Share of short prompts that the long model answered because no endpoint of the short one could be "
                "(routing.fallback). Above 0 for long: bring "
                "endpoints of the short model back; the long one is dearer and slower.",
                SHARE,
                4,
            ),
            Query(share_of(standing_in, _DECISIONS)),
            [(0.001, "orange"), (0.05, "red")],
        ),
        number(
            About(
                "Counted",
                "Share of prompts near enough to the threshold to be tokenized. Near 100 % without `routing.exact: "
                "always`: move the threshold away from where most prompts are.",
                SHARE,
                4,
            ),
            Query(share_of(counted, _DECISIONS)),
        ),
    ]


def _endpoints_now() -> list[Panel]:
    return [
        number(
            About(
                "Endpoints up",
                "Share of endpoints that answered when last asked, as the gateway that sees the fewest has it. Below "
                "100 %: Up or down, below, says which.",
                SHARE,
                4,
            ),
            Query(f"avg({gauge('model, endpoint', names.ENDPOINT_UP.name, how='min')})"),
            _LESS_IS_WORSE,
        ),
        number(
            About(
                "Ejected",
                "Endpoints left out after failures, by at least one gateway: orange from one on, red from two. Back by "
                "themselves when they answer again; for longer than minutes: look at the model server's log.",
                COUNT,
                4,
            ),
            Query(f"sum({gauge('model, endpoint', names.ENDPOINT_EJECTED.name, how='max')})"),
            [(1, "orange"), (2, "red")],
        ),
    ]


_LESS_IS_WORSE = ((0.0, "red"), (0.5, "orange"), (1.0, "green"))


def _decisions() -> list[Panel]:
    return [
        lines(
            About(
                "Decisions by model",
                "Requests per second by the model chosen. A model without any: is it asked for by name only, or are "
                "all its endpoints down?",
                PER_SECOND,
                6,
            ),
            Query(rates("model", _DECISIONS), "{{model}}"),
            stacked=True,
        ),
        lines(
            About(
                "Decisions by reason",
                "short-prompt, long-prompt: by the threshold; short-window: below the threshold but prompt and answer "
                "do not fit the short model's window; "
                "short-unavailable: the long model stands in; named-model: the client chose; only-model, "
                "only-able-model: there was no choice.",
                PER_SECOND,
                6,
            ),
            Query(rates("model, reason", _DECISIONS), "{{reason}}: {{model}}"),
            stacked=True,
        ),
        lines(
            About(
                "How lengths were found",
                "Share of decisions by method. bounded: settled by the prompt's bytes, free; estimated: far enough "
                "from the threshold; counted: tokenized in a thread, "
                "milliseconds for long prompts; unsplittable: too long without a break to be counted. Much counted "
                "with high gateway overhead: move the threshold.",
                SHARE,
                6,
            ),
            Query(share_by("method", _DECISIONS), "{{method}}"),
        ),
        lines(
            About(
                "Share of each model",
                "Of all decisions. It moves with your prompts; a step without a change of configuration: see reasons, "
                "and endpoints below.",
                SHARE,
                6,
            ),
            Query(share_by("model", _DECISIONS), "{{model}}"),
        ),
    ]


def _lengths() -> list[Panel]:
    about = (
        "Tokens in the routing tokenizer as far as the length had to be known: where bytes settled it, an upper bound, "
        "so the true prompt may be shorter. "
    )
    lengths = names.PROMPT_LENGTH.name
    return [
        buckets_over_time(
            About(
                "Prompt lengths over time",
                f"{about}The brighter, the more prompts. Compare with the threshold in the plot beside: many just "
                "above it might be served by the short model.",
                COUNT,
                8,
            ),
            Query(increases("le", _LENGTHS), "{{le}}"),
        ),
        buckets_now(
            About(
                "Prompt lengths in this time range",
                about + "Bars: at most so many tokens, and more than the one before.",
                COUNT,
                8,
            ),
            Query(f"sum by (le) (increase({_LENGTHS}{{{OF_MODEL}}}[$__range]))", "{{le}}"),
        ),
        lines(
            About(
                "Prompt lengths and the threshold",
                f"{about}Quantiles by model, and the threshold. The short model's p99 stays below the threshold "
                "unless clients name the model.",
                _TOKENS,
                8,
            ),
            *(
                Query(quantile(share, lengths, "model"), f"{{{{model}}}} {name}")
                for share, name in ((0.5, "p50"), (0.99, "p99"))
            ),
            Query(_THRESHOLD, "threshold"),
            log=True,
            dashed="^threshold$",
        ),
    ]


_EACH, _NAMED = "model, endpoint", "{{model}} {{endpoint}}"


def _states() -> list[Panel]:
    return [
        states(
            About(
                "Up or down",
                "1 if the endpoint answered when last asked, as the gateway that sees the worst has it. Down: is the "
                "model server running, and can the gateway reach it?",
                COUNT,
                8,
            ),
            Query(gauge(_EACH, names.ENDPOINT_UP.name, how="min"), _NAMED),
            {"0": ("down", "red"), "1": ("up", "green")},
        ),
        states(
            About(
                "Left out after failures",
                "Three failures in a row (no connection, a broken or late answer, 5xx) leave an endpoint out for 5 s, "
                "then twice as long. As any gateway has it. "
                "Often: the model server is overloaded or restarting; see its log and the Engines dashboard.",
                COUNT,
                8,
            ),
            Query(gauge(_EACH, names.ENDPOINT_EJECTED.name, how="max"), _NAMED),
            {"0": ("in use", "green"), "1": ("left out", "orange")},
        ),
    ]


def _events() -> list[Panel]:
    return [
        lines(
            About(
                "Ejections",
                "How often each endpoint was left out, in each step. One endpoint alone: mend or replace it; all at "
                "once: the network, or a deadline that is too short.",
                COUNT,
                8,
            ),
            Query(increases(_EACH, counter(names.EJECTIONS)), _NAMED),
        ),
        lines(
            About(
                "Probes",
                "Health checks per second by what they found. Down beside up for the same endpoint: it comes and "
                "goes, or one gateway can't reach it.",
                PER_SECOND,
                12,
            ),
            Query(rates(f"{_EACH}, outcome", counter(names.PROBES)), f"{_NAMED} {{{{outcome}}}}"),
        ),
        lines(
            About(
                "In flight by endpoint",
                "Attempts that were sent and have not ended. Load is shared by tokens, not by number: one long prompt "
                "weighs as much as many short ones.",
                COUNT,
                12,
            ),
            Query(gauge(_EACH, names.IN_FLIGHT.name), _NAMED),
        ),
    ]
