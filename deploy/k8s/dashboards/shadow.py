"""Shadow-eval: pass@1 with its intervals, what it rests on, and what became of samples."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from deploy.k8s.dashboards import layout
from deploy.k8s.dashboards.layout import Section, Variable
from deploy.k8s.dashboards.panels import (
    COUNT,
    PER_SECOND,
    SECONDS,
    SHARE,
    About,
    Panel,
    Query,
    lines,
    number,
    rows,
    states,
)
from deploy.k8s.dashboards.queries import counter, gauge, increases, or_none, rate, rates, total
from gateway.telemetry import names
from gateway.telemetry.names import Name

_RATE, _BOUND = names.SHADOW_PASS_AT_1.name, names.SHADOW_BOUND.name
_STRATUM = ", ".join(names.SHADOW_PASS_AT_1.labels)
_CHOSEN = 'family=~"$family", suite=~"$suite", evidence=~"$evidence"'
_WHOLE = f'{_CHOSEN}, category="all", length="all"'
_NEVER_POOLED = (
    "One line for each stratum: figures of two are never to be pooled, nor families compared without pairs "
    "(`yardstick shadow report` does that)."
)


def dashboard() -> models.Dashboard:
    return layout.dashboard(
        "yardstick-shadow",
        "Yardstick / Shadow-eval",
        "How often the models' answers pass their tests, with intervals, and what that rests on. Empty unless "
        "shadow-eval is configured.",
        _VARIABLES,
        [
            Section("Now", [*_samples_now(), *_figures_now()]),
            Section("pass@1 with 95 % intervals", _rates()),
            Section("The gate", _gate()),
            Section("From samples to verdicts", [*_samples(), *_lost()]),
            Section("What it costs, and what is lost", _costs()),
        ],
    )


_VARIABLES = (
    *(Variable(name, name.capitalize(), _RATE, name) for name in ("family", "suite", "evidence", "category")),
    Variable("interval", "Interval", _BOUND, "interval", single="tasks_like_these"),
)


def _best(metric: str, where: str) -> str:
    """Every gateway reads the same store, so one of them is enough."""
    return gauge(_STRATUM, metric, where, "max")


def _bound(bound: str, where: str) -> str:
    return _best(_BOUND, f'{where}, interval=~"$interval", bound="{bound}"')


def _samples_now() -> list[Panel]:
    sampled, dropped = rate(counter(names.SHADOW_SAMPLED), ""), rate(counter(names.SHADOW_DROPPED), "")
    return [
        number(
            About(
                "Sampled",
                "Live requests that are evaluated, per second. None: see `shadow.sample` in the configuration.",
                PER_SECOND,
                4,
            ),
            Query(total("", sampled)),
        ),
        number(
            About(
                "Dropped",
                "Share of sampled requests that never reached the shadow process. Above 1 %: it is too slow or down; "
                "its reason stands below.",
                SHARE,
                4,
            ),
            Query(f"sum({dropped} or on () 0 * sum({sampled})) / (sum({sampled}) > 0)"),
            [(0.01, "orange"), (0.1, "red")],
        ),
        number(
            About(
                "Held",
                "Samples on their way to the store. From 100 on (orange), and growing: the store can't be reached, or "
                "is slow.",
                COUNT,
                4,
            ),
            Query(gauge("", names.SHADOW_HELD.name, where="")),
            [(100, "orange"), (1000, "red")],
        ),
    ]


def _figures_now() -> list[Panel]:
    return [
        number(
            About(
                "Age of these figures",
                "Since pass@1 was last read from the store. Above 5 minutes (orange): the store is away, or so large "
                "that reading takes long.",
                SECONDS,
                4,
            ),
            Query(f"time() - max({names.SHADOW_READ_AT.name} > 0)"),
            [(300, "orange"), (3600, "red")],
        ),
        number(
            About(
                "Answers behind pass@1",
                "All that count, of the families, suites and kinds of evidence chosen.",
                COUNT,
                4,
            ),
            Query(f"sum({_best(names.SHADOW_COMPLETIONS.name, _WHOLE)})"),
        ),
        number(
            About(
                "Strata left out",
                "Those with the fewest answers, whose pass@1 is not shown. Above 0: clients use many sampling "
                "parameters; the report has all.",
                COUNT,
                4,
            ),
            Query(gauge("", names.SHADOW_STRATA_LEFT_OUT.name, where="", how="max")),
            [(1, "orange")],
        ),
    ]


def _rates() -> list[Panel]:
    named = "{{family}} {{model}} {{suite}} {{evidence}} {{form}} {{stratum}}"
    interval = (
        "Interval `tasks_like_these`: where other tasks of the kind would lie (from 30 tasks on); `this_suite`: these "
        "tasks, asked again (from 40 "
        "answers on, and tasks that were answered at least twice). There is none where there is not enough to say; a "
        "wide one: wait, or raise "
        f"the sampling. {_NEVER_POOLED}"
    )
    whole = [
        Query(_best(_RATE, _WHOLE), f"{named} pass@1"),
        Query(_bound("lower", _WHOLE), f"{named} lower"),
        Query(_bound("upper", _WHOLE), f"{named} upper"),
    ]
    part = f'{_CHOSEN}, category=~"$category|all"'
    columns = {
        "pass@1": _best(_RATE, part),
        "interval: from": _bound("lower", part),
        "interval: to": _bound("upper", part),
        "tasks": _best(names.SHADOW_TASKS.name, part),
        "answers": _best(names.SHADOW_COMPLETIONS.name, part),
    }
    return [
        lines(
            About(
                "pass@1 of whole suites, by family",
                "Dashed: the interval. One that does not hold what you expect is news; a line that moves inside it "
                f"is not. {interval}",
                SHARE,
                24,
            ),
            *whole,
            dashed="(lower|upper)$",
        ),
        rows(
            About(
                "pass@1 by family, category and prompt length",
                "`all` and `all`: the whole suite. A length: prompts of at most so many tokens, and more than the one "
                "before; where the short model falls behind "
                f"is where the threshold belongs (`yardstick shadow threshold` computes it on pairs). {interval}",
                SHARE,
                24,
            ),
            columns,
            names.SHADOW_PASS_AT_1.labels,
            counts=("tasks", "answers"),
        ),
    ]


def _gate() -> list[Panel]:
    def asked(name: Name) -> str:
        return gauge(", ".join(name.labels), name.name, where="", how="max")

    who = "{{first}} and {{second}} {{evidence}} {{suite}} {{form}}"
    return [
        states(
            About(
                "Gate",
                "What the policy of `shadow.gate` comes to. violated (red): the report says in which bucket; move the "
                "threshold, or look at what changed. "
                "undecided: more pairs are needed. Empty without such a policy.",
                COUNT,
                8,
            ),
            Query(asked(names.SHADOW_GATE), who),
            {"0": ("holds", "green"), "1": ("violated", "red"), "2": ("undecided", "blue")},
        ),
        lines(
            About(
                "Pairs that the gate rests on",
                "Pairs with two verdicts, by bucket (prompts of at most so many tokens). Flat: no samples match, or "
                "scorers are behind.",
                COUNT,
                8,
            ),
            Query(asked(names.SHADOW_GATE_PAIRS), f"{who} {{{{bucket}}}}"),
        ),
        lines(
            About(
                "Pairs that the gate still needs",
                "As far as can be foreseen, by bucket; 0 where it is settled. At 50,000 (that many or more) the "
                "answer is too close to the policy's margin to wait for.",
                COUNT,
                8,
            ),
            Query(f"clamp_max({asked(names.SHADOW_GATE_PAIRS_NEEDED)}, 50000)", f"{who} {{{{bucket}}}}"),
        ),
    ]


def _samples() -> list[Panel]:
    return [
        lines(
            About(
                "Sampled, matched, unmatched",
                "Per second, by model. Matched: the prompt is a known task, so its tests can score the answer. Few "
                "matched is ordinary for live traffic: canary tasks fill in.",
                PER_SECOND,
                8,
            ),
            Query(rates("model", counter(names.SHADOW_SAMPLED), ""), "{{model}} sampled"),
            Query(rates("model", counter(names.SHADOW_MATCHED), ""), "{{model}} matched"),
            Query(rates("model", counter(names.SHADOW_UNMATCHED), ""), "{{model}} unmatched"),
        ),
        lines(
            About(
                "Verdicts",
                "Of the scorers beside the gateways, in each step. error: not the answer's fault (a library is "
                "missing, the sandbox died); in no rate. Many of "
                "them: `yardstick shadow sandbox` and `shadow setup`.",
                COUNT,
                8,
            ),
            Query(increases("model, verdict", counter(names.SHADOW_VERDICTS), ""), "{{model}} {{verdict}}"),
            stacked=True,
        ),
        lines(
            About(
                "Walls that verdicts were reached behind",
                "By level, in each step. `none`: nothing was run. in-process: a pass there can be forged; the report "
                "says how many there were.",
                COUNT,
                8,
            ),
            Query(increases("level", counter(names.SHADOW_VERDICTS), ""), "{{level}}"),
            stacked=True,
        ),
    ]


def _lost() -> list[Panel]:
    sampled = rate(counter(names.SHADOW_SAMPLED), "")
    dropped, lost = counter(names.SHADOW_DROPPED), counter(names.SHADOW_LOST)
    return [
        lines(
            About(
                "Dropped before the shadow process",
                "Sampled requests per second that it never had, by reason. busy or no shadow process: it is too slow, "
                "or down.",
                PER_SECOND,
                12,
            ),
            Query(or_none(rates("reason", dropped, ""), "reason", sampled), "{{reason}}"),
        ),
        lines(
            About(
                "Lost after it",
                "Samples, mirrored requests and canaries per second that came to nothing, by reason. `store`: it "
                "can't be reached; budgets and busy pools hold mirrors back.",
                PER_SECOND,
                12,
            ),
            Query(or_none(rates("reason", lost, ""), "reason", sampled), "{{reason}}"),
        ),
    ]


def _costs() -> list[Panel]:
    verdicts = rate(counter(names.SHADOW_VERDICTS), "")
    return [
        lines(
            About(
                "Mirrored requests and canaries",
                "Per second, by the model asked and outcome; they count in no other dashboard. shed: given up in "
                "favour of live requests.",
                PER_SECOND,
                8,
            ),
            Query(rates("model, outcome", counter(names.SHADOW_REQUESTS), ""), "{{model}} {{outcome}}"),
            stacked=True,
        ),
        lines(
            About(
                "Tokens spent",
                "On mirrored requests and canaries, per second. Daily budgets in the configuration bound them.",
                PER_SECOND,
                8,
            ),
            Query(rates("model, reason", counter(names.SHADOW_TOKENS), ""), "{{model}} {{reason}}"),
            stacked=True,
        ),
        lines(
            About(
                "Events of verdicts",
                "OpenTelemetry events per second, sent or lost; `none` where no receiver is named. Lost: it is slow "
                "or away; verdicts themselves are stored all the same.",
                PER_SECOND,
                8,
            ),
            Query(or_none(rates("outcome", counter(names.SHADOW_EVENTS), ""), "outcome", verdicts), "{{outcome}}"),
        ),
    ]
