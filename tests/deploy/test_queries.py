"""Every query of every panel, asked of a real Prometheus that scrapes a real gateway and engines under load."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.observe.look import Found, Look
from gateway.demo.observe.panels import Dashboard, Query, complaint, dashboards, filled
from gateway.demo.observe.prometheus import NotInstalled, find_prometheus, rule_files
from tests.deploy.agreement import MEASURES, agrees, latency
from tests.deploy.observed import Observed, can_move, observed

_DEPLOY = Path(__file__).parents[2] / "deploy" / "k8s"
_FOLDER = _DEPLOY / "dashboards" / "json"
_SHOWN = dashboards(_FOLDER)
_QUERIES = [query for dashboard in _SHOWN for query in dashboard.queries]
_word = re.compile(r"[a-zA-Z_:][\w:]*").findall
_made_up = re.compile(r"\bor\s+(?:on\s*\(\s*\)\s*)?vector\s*\([^)]*\)")

pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def watched() -> Iterator[Observed]:
    try:
        binary = find_prometheus()
    except NotInstalled as error:
        pytest.skip(str(error))
    with (
        tempfile.TemporaryDirectory(prefix="ys-") as folder,  # short enough for the sockets in it
        observed(Path(folder), binary, _SHOWN, _DEPLOY / "rules") as found,
    ):
        yield found


def of(dashboard: str) -> Dashboard:
    return next(each for each in _SHOWN if each.title == dashboard)


def answer(watched: Observed, query: Query) -> Found:
    return next(each for each in watched.found if each.query == query)


def names(queries: list[Query]) -> list[str]:
    return [query.name for query in queries]


@pytest.mark.parametrize("query", _QUERIES, ids=names(_QUERIES))
def test_a_query_answers_with_series_of_numbers(watched: Observed, query: Query) -> None:
    """Each has labels as its legend names them, and none is NaN or infinite."""
    found = answer(watched, query)
    assert found.complaint == "", query.expression


@pytest.mark.parametrize("query", _QUERIES, ids=names(_QUERIES))
def test_a_query_names_what_is_scraped_and_makes_nothing_up(watched: Observed, query: Query) -> None:
    """Without a fallback to a constant it answers as well: what it shows comes from metrics."""
    there = set(watched.prometheus.label_values("__name__"))
    assert there & set(_word(query.expression)), query.expression
    bare = _made_up.sub("", filled(query.expression, watched.values(of(query.dashboard), 30)))
    assert watched.prometheus.query_range(bare, watched.end - 60, watched.end), bare


_CHOICES = [(dashboard, variable) for dashboard in _SHOWN for variable in dashboard.variables if not variable.several]


def test_whatever_is_chosen_there_is_an_answer(watched: Observed) -> None:
    """Where only one value can be: above it was the first."""
    for dashboard, variable in _CHOICES:
        options = variable.fixed or watched.prometheus.label_values(variable.label, variable.selector)
        assert len(options) > 1, variable
        for option in options:
            chosen = watched.values(dashboard, 30) | {variable.name: option}
            for query in dashboard.queries:
                expression = filled(query.expression, chosen)
                found = watched.prometheus.query_range(expression, watched.end - 60, watched.end)
                assert complaint(found, query.legend) == "", (option, query.expression)


_MOVING = [query for query in _QUERIES if can_move(query)]


@pytest.mark.parametrize("query", _MOVING, ids=names(_MOVING))
def test_what_counts_moves_with_the_load(watched: Observed, query: Query) -> None:
    assert query not in watched.unmoved, query.expression


def test_counters_grew_by_what_was_sent(watched: Observed) -> None:
    """Between two calm moments, exactly; by the client's own books."""
    sent = watched.measured
    expected = {
        "yardstick_requests_total": Counter(each.model for each in sent),
        "yardstick_decisions_total": Counter(each.model for each in sent),
        "yardstick_prompt_tokens_total": _sums((each.model, each.prompt_tokens) for each in sent),
        "yardstick_output_tokens_total": _sums((each.model, each.output_tokens) for each in sent),
        "yardstick_request_seconds_count": Counter(each.model for each in sent),
        "yardstick_time_to_first_chunk_seconds_count": Counter(each.model for each in sent if each.first_chunk),
    }
    for metric, by_model in expected.items():
        before, after = (
            {
                series.labels["model"]: series.samples[0][1]
                for series in watched.prometheus.query(f"sum by (model) ({metric})", at)
            }
            for at in (watched.calm_before, watched.calm_after)
        )
        assert {model: after[model] - before.get(model, 0) for model in by_model} == by_model, metric


def test_what_was_sent_has_come(watched: Observed) -> None:
    """Spans and events by the receiver's own books; what it refused is lost."""
    for metric, came in (
        ("yardstick_spans_total", len(watched.received.spans)),
        ("yardstick_shadow_events_total", len(watched.received.events)),
    ):
        counted = watched.prometheus.query(f"sum by (outcome) ({metric})", watched.end)
        by_outcome = {series.labels["outcome"]: series.samples[0][1] for series in counted}
        assert 0 < by_outcome["sent"] <= came, metric
        assert by_outcome["lost"] > 0, metric


def _sums(pairs: Iterator[tuple[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for model, number in pairs:
        found[model] += number
    return found


_LATENCIES = [query for query in _QUERIES if latency(query.expression)[1]]


def test_there_are_latency_panels() -> None:
    assert {latency(query.expression)[1] for query in _LATENCIES} == set(MEASURES)


@pytest.mark.parametrize("query", _LATENCIES, ids=names(_LATENCIES))
def test_latency_panels_agree_with_the_clients_clock(watched: Observed, query: Query) -> None:
    """See `agreement` for how near, and why."""
    from_scrape_to_scrape = watched.calm_after - watched.calm_before + 0.001
    expression = filled(query.expression, watched.values(of(query.dashboard), from_scrape_to_scrape))
    found = watched.prometheus.query(expression, watched.calm_after)
    assert found, expression
    quantile, metric = latency(query.expression)
    bounds = sorted(map(float, watched.prometheus.label_values("le", f"{metric}_bucket")))
    for series in found:
        problem = agrees(series.samples[0][1], quantile, metric, bounds, series.labels, watched.measured)
        assert problem == "", expression


def test_targets_are_up_and_rules_are_healthy(watched: Observed) -> None:
    targets = watched.prometheus.targets()
    assert Counter(each["labels"]["job"] for each in targets) == {"yardstick": 1, "vllm": 3}
    assert {each["health"] for each in targets} == {"up"}
    for rule in watched.prometheus.rules():
        assert rule["health"] == "ok", rule


def test_recorded_series_are_what_their_rules_say(watched: Observed) -> None:
    """In a calm moment, and asked at the time at which they were recorded last: on a busy machine that may be a while
    before."""
    recorded = [rule for rule in watched.prometheus.rules() if rule["type"] == "recording"]
    assert bool(recorded) == bool(rule_files(_DEPLOY / "rules"))
    for rule in recorded:
        stored = _by_labels(watched, rule["name"], watched.calm_after)
        assert stored, rule["name"]
        recorded_at = max(_by_labels(watched, f"timestamp({rule['name']})", watched.calm_after).values())
        asked = _by_labels(watched, rule["query"], recorded_at)
        assert stored == pytest.approx(asked, rel=0.1), rule["name"]


def _by_labels(watched: Observed, expression: str, at: float) -> dict[tuple[tuple[str, str], ...], float]:
    return {
        tuple(sorted((name, value) for name, value in series.labels.items() if name != "__name__")): series.samples[0][
            1
        ]
        for series in watched.prometheus.query(expression, at)
    }


def test_all_lengths_and_endings_were_there(watched: Observed) -> None:
    """But for a gateway_error, which is a mistake of ours."""
    values = watched.prometheus.label_values
    assert set(values("outcome", "yardstick_requests_total")) >= {"ok", "client_error", "upstream_error", "cancelled"}
    lengths = {"1024", "4096", "8192", "16384", "32768", "65536", "131072"}
    assert set(values("length", "yardstick_time_to_first_chunk_seconds_bucket")) >= lengths
    assert set(values("method", "yardstick_decisions_total")) >= {"bounded", "estimated", "counted"}


@pytest.mark.parametrize(
    ("expression", "legend", "told"),
    [
        ("yardstick_no_such_metric", "", "no series"),
        ("0 * yardstick_open_connections / 0", "", "nan in"),
        ("(1 + yardstick_open_connections) / 0", "", "inf in"),
        ("yardstick_open_connections", "{{model}}", "names model"),
        ("sum(", "", "parse error"),
        ("yardstick_open_connections{model=~'$nobody'}", "", "no variable"),
    ],
)
def test_a_query_that_is_wrong_is_found(watched: Observed, expression: str, legend: str, told: str) -> None:
    query = Query("mine", "panel", "A", expression, legend)
    (found,) = Look(watched.prometheus, [Dashboard("mine", (query,), ())]).once_more()
    assert told in found.complaint
