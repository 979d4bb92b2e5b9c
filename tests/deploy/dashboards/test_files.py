"""The committed files are what the code makes, and what Grafana's own SDK reads back to the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.k8s.dashboards import __main__ as command
from tests.deploy.dashboards.board import FILES, board, text

HERE = Path(command.__file__).parent
ANNOTATION = 256 * 1024  # bytes that a Kubernetes object's annotations may have


def test_there_is_a_file_for_each_dashboard() -> None:
    assert tuple(f"yardstick-{name}.json" for name in ("engines", "overview", "routing", "shadow")) == FILES


def test_they_are_up_to_date() -> None:
    assert CliRunner().invoke(command.main, ["--check"]).exit_code == 0


def test_what_is_not_up_to_date_is_named(tmp_path: Path) -> None:
    wanted = command.rendered()
    for name, content in wanted.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert command.outdated(wanted, tmp_path) == []
    changed, missing, *_ = sorted(wanted)
    (tmp_path / changed).write_text(wanted[changed].replace("now-1h", "now-2h"), encoding="utf-8")
    (tmp_path / missing).unlink()
    (tmp_path / "surplus.json").write_text("{}", encoding="utf-8")
    assert command.outdated(wanted, tmp_path) == sorted([changed, missing, "surplus.json"])


def test_the_same_is_made_every_time() -> None:
    assert command.rendered() == command.rendered()


@pytest.mark.parametrize("name", FILES)
def test_the_sdk_knows_every_field(name: str) -> None:
    """What it does not know, or can't read, it would leave out or change; it may add defaults."""
    register_default_plugins()
    again = json.loads(json.dumps(Dashboard.from_json(board(name)), cls=JSONEncoder))
    assert list(lost(board(name), again)) == []


def lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Where `after` has not all that `before` has."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(value, after.get(key, "nothing"), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{path}[{place}]")
    elif before != after:
        yield f"{path}: {before!r} became {after!r}"


def test_each_is_a_configmap_that_the_sidecar_finds() -> None:
    component = yaml.safe_load((HERE / "kustomization.yaml").read_text())
    assert component["kind"] == "Component"
    assert component["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}
    listed = [path for generator in component["configMapGenerator"] for path in generator["files"]]
    assert sorted(listed) == [f"json/{name}" for name in FILES]


@pytest.mark.parametrize("name", FILES)
def test_each_can_be_applied(name: str) -> None:
    """`kubectl apply` puts the whole object into an annotation, quoted once more."""
    kept = json.dumps({"data": {name: text(name)}})
    assert len(kept.encode()) < ANNOTATION


def test_provisioning_names_where_the_readme_puts_the_files() -> None:
    [provider] = yaml.safe_load((HERE / "provisioning/dashboards/yardstick.yaml").read_text())["providers"]
    [source] = yaml.safe_load((HERE / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    readme = (HERE / "README.md").read_text()
    assert f"cp json/*.json {provider['options']['path']}/" in readme
    assert source["type"] == "prometheus"
    assert source["url"] == "${PROMETHEUS_URL}"
    assert "PROMETHEUS_URL=" in readme
