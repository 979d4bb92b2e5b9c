"""Every query names metrics and labels that exist, and is one for Prometheus."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deploy.k8s.rules import __main__ as rules
from gateway.engines.simulated.metrics import EngineMetrics
from gateway.engines.simulated.settings import SimulatedSettings
from gateway.telemetry import names
from gateway.telemetry.names import Name
from tests.deploy.dashboards.board import FILES, panels, queries, variable_query, variables
from tests.deploy.dashboards.promql import filled_in, grouped_by, selected
from tests.deploy.promtool import promtool

each = pytest.mark.parametrize("name", FILES)
Labels = frozenset[str]
UNSHOWN: dict[Name, str] = {
    names.SHADOW_STRATUM: "what tells strata apart, in words: the report prints it",
}


def registered() -> dict[str, Labels]:
    """Sample -> its labels, of all metrics of the gateway."""
    found: dict[str, Labels] = {}
    for name in names.ALL:
        for sample in name.samples:
            found[sample] = frozenset({*name.labels, *(("le",) if sample.endswith("_bucket") else ())})
    return found


def exposed(exposition: str) -> dict[str, Labels]:
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return {name: frozenset({*labels, "instance"}) for name, labels in found.items()}  # `instance`: Prometheus' own


def of_vllm() -> dict[str, Labels]:
    settings = SimulatedSettings(model="codegeex4-all-9b", port=0, tokenizer=Path("none"))
    return exposed(EngineMetrics(settings).exposition().decode())


def recorded() -> dict[str, Labels]:
    """Series of recording rules; their labels stand in front of the first colon."""
    series = [
        rule["record"]
        for path in rules.plain()
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    return {name: frozenset(name.partition(":")[0].split("_")) for name in series}


def unknown(name: str, known: dict[str, Labels]) -> list[str]:
    """What is wrong with a dashboard's queries."""
    wrong = []
    for asked in queries(name):
        labels: set[str] = set()
        for each_metric in selected(asked.query):
            if each_metric.metric not in known:
                wrong.append(f"{asked.panel}: no metric {each_metric.metric}")
                continue
            labels |= known[each_metric.metric]
            wrong += [
                f"{asked.panel}: {each_metric.metric} has no {label}"
                for label in each_metric.labels - known[each_metric.metric]
            ]
        wrong += [f"{asked.panel}: no label {label}" for label in grouped_by(asked.query) - labels]
    return wrong


@each
def test_metrics_and_labels_exist(name: str) -> None:
    assert unknown(name, registered() | of_vllm() | recorded()) == []


def test_vllms_are_those_of_a_real_one() -> None:
    if "YARDSTICK_TEST_RECORDED" not in os.environ:
        pytest.skip("YARDSTICK_TEST_RECORDED names no folder of recordings")
    real = exposed((Path(os.environ["YARDSTICK_TEST_RECORDED"]) / "metrics_0.32.0.txt").read_text())
    assert unknown("yardstick-engines.json", registered() | real) == []


@each
def test_variables_are_filled_from_metrics_that_exist(name: str) -> None:
    known = registered() | of_vllm()
    for variable in variables(name).values():
        if asked := variable_query(variable):
            found = re.fullmatch(r"label_values\(([\w:]+), (\w+)\)", asked)
            assert found is not None, asked
            assert found[2] in known[found[1]], asked


def test_every_metric_is_in_some_dashboard() -> None:
    shown = {each_metric.metric for name in FILES for asked in queries(name) for each_metric in selected(asked.query)}
    missing = {name for name in names.ALL if not shown & set(name.samples)}
    assert missing == set(UNSHOWN)


def test_vllm_and_gateway_are_never_in_one_plot() -> None:
    for panel in panels("yardstick-engines.json"):
        found = {each_metric.metric for target in panel["targets"] for each_metric in selected(target["expr"])}
        assert len({metric.startswith("vllm:") for metric in found}) == 1, panel["title"]


@each
def test_nothing_is_made_up_and_nothing_is_nan(name: str) -> None:
    """No constants in a metric's place; quantiles of nothing and 0/0 are left out."""
    for asked in queries(name):
        assert "vector(" not in asked.query, asked
        if asked.query.startswith("histogram_quantile"):
            assert asked.query.endswith(">= 0"), asked
        for divisor in asked.query.split(" / ")[1:]:
            assert divisor.endswith(" > 0)"), asked


@each
def test_prometheus_can_read_every_query(name: str, tmp_path: Path) -> None:
    """As recording rules, with values in the variables' places: that is what promtool reads."""
    values = dict.fromkeys(variables(name), ".*") | {"__rate_interval": "1m", "__range": "1h"}
    asked = [filled_in(each_query.query, values) for each_query in queries(name)]
    made = [{"record": f"query:{number}", "expr": expression} for number, expression in enumerate(asked)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": made}]}))
    assert f"{len(made)} rules found" in promtool("check", "rules", file)


def test_a_query_is_taken_apart() -> None:
    query = 'sum by (le, model) (rate(a_bucket{model=~"$m", x="b{c"}[5m])) / on () group_left () (sum(b:c) > 0)'
    assert [(found.metric, set(found.labels)) for found in selected(query)] == [
        ("a_bucket", {"model", "x"}),
        ("b:c", set()),
    ]
    assert grouped_by(query) == {"le", "model"}
    assert [found.metric for found in selected("0 * time() or on () max(x > 0)")] == ["x"]
