"""The parts of `yardstick observe`. As a whole, and with a Prometheus, it runs in tests/deploy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from tokenizers import Tokenizer

from gateway.demo.engine import LONG, SHORT
from gateway.demo.observe.panels import Query, complaint, dashboards, filled
from gateway.demo.observe.prometheus import NotInstalled, Series, configuration, find_prometheus, rule_files
from gateway.demo.observe.system import port
from gateway.demo.observe.workload import BURST, LENGTHS, Workload
from gateway.ports import PortUnavailable
from gateway.tokens import demo
from tests.fakes.started import free_port

DEPLOY = Path(__file__).parents[2] / "deploy" / "k8s"


# -- dashboards ---------------------------------------------------------------------------------------------------


def target(expression: str, reference: str = "A", **more: Any) -> dict[str, Any]:
    return {"refId": reference, "expr": expression, **more}


def written(folder: Path, panels: Sequence[Any], variables: Sequence[Any] = ()) -> Path:
    text = json.dumps({"title": "mine", "panels": panels, "templating": {"list": variables}})
    (folder / "mine.json").write_text(text)
    return folder


def test_queries_of_closed_rows_are_found(tmp_path: Path) -> None:
    nested = {"type": "timeseries", "title": "inside", "targets": [target("b", "B", legendFormat="{{model}}")]}
    panels = [
        {"type": "timeseries", "title": "outside", "targets": [target("a"), target("c", "C")]},
        {"type": "row", "title": "a row", "panels": [nested]},
        {"type": "text", "title": "words"},
    ]
    (found,) = dashboards(written(tmp_path, panels))
    assert found.queries == (
        Query("mine", "outside", "A", "a"),
        Query("mine", "outside", "C", "c"),
        Query("mine", "inside", "B", "b", "{{model}}"),
    )


def test_variables_are_filled_in_as_grafana_does(tmp_path: Path) -> None:
    variables = [
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        {"name": "model", "type": "query", "multi": True, "query": {"query": "label_values(up_metric, model)"}},
        {
            "name": "endpoint",
            "type": "query",
            "includeAll": True,
            "query": 'label_values(other{model=~"$model"}, endpoint)',
        },
        {"name": "family", "type": "query", "multi": True, "query": "label_values(family)", "allValue": ".*"},
        {"name": "share", "type": "custom", "query": "0.5, 0.9"},
    ]
    (found,) = dashboards(written(tmp_path, [], variables))
    asked = []

    def label_values(label: str, selector: str) -> list[str]:
        asked.append((label, selector))
        return {"model": ["a.b", "c"], "endpoint": ["h:1"], "family": ["f"]}[label]

    values = found.values(label_values, {"__rate_interval": "4s"})
    assert asked == [("model", "up_metric"), ("endpoint", r'other{model=~"(a\\.b|c)"}'), ("family", "")]
    expression = (
        'rate(x{model=~"$model", endpoint=~"${endpoint:regex}", family=~"[[family]]"}[$__rate_interval]) > $share'
    )
    assert filled(expression, values) == (r'rate(x{model=~"(a\\.b|c)", endpoint=~"(h:1)", family=~".*"}[4s]) > 0.5')
    with pytest.raises(ValueError, match=r"\$nobody is no variable"):
        filled("x{model=~'$nobody'}", values)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "JSONDecodeError"),
        ('{"title": "no panels"}', "KeyError: 'panels'"),
        ('{"title": "t", "panels": [{"targets": [{"refId": "A"}]}]}', "KeyError: 'expr'"),
        (
            '{"title": "t", "panels": [], "templating": {"list": [{"name": "v", "type": "query", "query": "up"}]}}',
            "variable v asks 'up', not label_values",
        ),
        (
            '{"title": "t", "panels": [], "templating": {"list": [{"name": "v", "type": "magic"}]}}',
            "unknown kind magic",
        ),
    ],
)
def test_what_is_no_dashboard_is_told(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(ValueError, match=r"mine\.json is no dashboard") as caught:
        dashboards(tmp_path)
    assert complaint in str(caught.value)


def test_a_folder_without_dashboards(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="there is no dashboard"):
        dashboards(tmp_path)


def series(*values: float, **labels: str) -> Series:
    return Series(labels, tuple(enumerate(values)))


@pytest.mark.parametrize(
    ("found", "legend", "told"),
    [
        ([], "", "no series"),
        ([series()], "", "no series"),
        ([series(1.0, float("nan"), model="a")], "", "nan in {'model': 'a'}"),
        ([series(1.0), series(float("inf"))], "", "inf in {}"),
        ([series(1.0, model="a"), series(1.0)], "{{ model }} p50", "names model"),
        ([series(0.0, model="a")], "{{model}} p50", ""),
    ],
)
def test_what_is_wrong_with_an_answer(found: list[Series], legend: str, told: str) -> None:
    complained = complaint(found, legend)
    assert told in complained if told else complained == ""


# -- Prometheus ---------------------------------------------------------------------------------------------------


def test_without_prometheus_it_is_said_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match=r"apt-get install -y prometheus.*--prometheus or YARDSTICK_PROMETHEUS"):
        find_prometheus(str(tmp_path / "prometheus"))


@pytest.mark.parametrize("once", [True, False])
def test_without_prometheus_observe_starts_nothing(tmp_path: Path, once: bool) -> None:
    command = [sys.executable, "-m", "gateway", "observe", *(["--once"] if once else [])]
    environment = {name: value for name, value in os.environ.items() if name != "YARDSTICK_PROMETHEUS"}
    environment |= {"PATH": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path)}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60)
    assert found.returncode == 1
    assert found.stdout.startswith("observe failed: Prometheus is missing: no executable 'prometheus'")
    assert "apt-get install -y prometheus" in found.stdout
    assert list(tmp_path.iterdir()) == []


def test_rules_for_prometheus_itself_are_loaded(tmp_path: Path) -> None:
    for name in ("b.rules.yaml", "a.rules.yml", "prometheusrule.yaml", "kustomization.yaml"):
        (tmp_path / name).write_text("")
    assert rule_files(tmp_path) == [tmp_path / "a.rules.yml", tmp_path / "b.rules.yaml"]
    assert rule_files(tmp_path / "nowhere") == []


@pytest.mark.parametrize("example", ["prometheus.yml", "prometheus-kubernetes.yml"])
def test_the_examples_have_the_jobs_that_are_tried(example: str) -> None:
    found = yaml.safe_load((DEPLOY / "dashboards" / example).read_text())
    ours = configuration("127.0.0.1:1", ["127.0.0.1:2"])
    assert [each["job_name"] for each in found["scrape_configs"]] == [
        each["job_name"] for each in ours["scrape_configs"]
    ]


def test_the_usual_port_or_a_free_one() -> None:
    usual = free_port()
    assert port(None, usual) == usual
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", usual))
        taken.listen()
        assert port(None, usual) not in (0, usual)
        assert port(0, usual) not in (0, usual)
        with pytest.raises(PortUnavailable, match=str(usual)):
            port(usual, 1)


# -- what is asked ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workload, Tokenizer]:
    file = demo.train(tmp_path_factory.mktemp("observe") / "tokenizer.json", corpus_bytes=300_000)
    return Workload(file), Tokenizer.from_file(str(file))


def test_a_round_has_every_length_and_every_ending(workload: tuple[Workload, Tokenizer]) -> None:
    asks, tokenizer = workload[0].cycle(), workload[1]
    for tokens in LENGTHS:
        (one,) = (ask for ask in asks if ask.kind == f"files of {tokens:,} tokens")
        count = len(tokenizer.encode(one.body["messages"][0]["content"]))
        assert 0.8 * tokens < count < 1.25 * tokens
    bounds = (0, 1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072)
    assert [sum(low < tokens <= high for tokens in LENGTHS) for low, high in pairwise(bounds)] == [1] * 7
    assert {ask.kind for ask in asks} >= {"chat", "task", "gap", "unknown model", "too long", "left"}
    assert {ask.body["model"] for ask in asks} >= {"auto", SHORT, LONG, "no-such-model"}
    assert {bool(ask.body.get("stream")) for ask in asks} == {True, False}
    assert all(ask.clean for ask in workload[0].clean())


def test_a_bursts_prompts_share_no_beginning(workload: tuple[Workload, Tokenizer]) -> None:
    """Else one prefix cache would hold them all."""
    asks = workload[0].burst()
    assert len({ask.body["messages"][0]["content"][:400] for ask in asks}) == len(asks) == BURST
