"""Recording rules: what they record is right, and the operator's form is the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from click.testing import CliRunner

from deploy.k8s.dashboards import recorded
from deploy.k8s.rules import __main__ as command
from gateway.telemetry import names
from tests.deploy.dashboards.promql import selected
from tests.deploy.promtool import promtool

UNITS = sorted(Path(__file__).parent.glob("*.test.yaml"))


def rules() -> Iterator[dict[str, str]]:
    for path in command.plain():
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            yield from group["rules"]


def test_promtool_takes_them() -> None:
    said = promtool("check", "rules", *command.plain())
    assert f"{len([*rules()])} rules found" in said


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_they_record_what_they_say(unit: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", unit)


def test_every_rule_is_tried() -> None:
    tried = {
        found.metric
        for unit in UNITS
        for each in yaml.safe_load(unit.read_text("utf-8"))["tests"]
        for case in each["promql_expr_test"]
        for found in selected(case["expr"])
    }
    assert {rule["record"] for rule in rules()} == tried


def test_they_rest_on_metrics_that_exist() -> None:
    known = {sample for name in names.ALL for sample in name.samples} | {rule["record"] for rule in rules()}
    assert {found.metric for rule in rules() for found in selected(rule["expr"])} <= known


def test_dashboards_use_series_that_are_recorded() -> None:
    used = {recorded.REQUESTS, recorded.FAILED, *recorded.FIRST_CHUNK.values(), *recorded.DURATION.values()}
    assert used <= {rule["record"] for rule in rules()}


def test_the_operators_form_is_up_to_date() -> None:
    assert CliRunner().invoke(command.main, ["--check"]).exit_code == 0
    made = yaml.safe_load(command.MADE.read_text("utf-8"))
    groups = [group for path in command.plain() for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    assert made["spec"]["groups"] == groups


def test_the_operators_form_is_one_that_kubernetes_takes() -> None:
    data = os.environ.get("YARDSTICK_TEST_DATA")
    if data is None:
        pytest.skip("YARDSTICK_TEST_DATA is not set: no definition of PrometheusRule")
    definition = yaml.safe_load((Path(data) / "crds" / "prometheusrule.yaml").read_text("utf-8"))
    [version] = definition["spec"]["versions"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    jsonschema_rs.validate(schema, yaml.safe_load(command.MADE.read_text("utf-8")))


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """With no fields but those that are defined, as `kubectl --validate=strict` has it; metadata is Kubernetes' own."""
    found = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = strict(found[key])
    if "properties" in found:
        found["properties"] = {name: strict(each) for name, each in found["properties"].items()}
        found["additionalProperties"] = False
        if "metadata" in found["properties"]:
            found["properties"]["metadata"] = {"type": "object"}
    if found.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found
