"""The overlay of the README's "Traces", copied as it stands, does what is said of it."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import tools
from tests.deploy.manifests.network import connections
from tests.deploy.manifests.objects import Manifests

_BESIDE_A_CLONE = "../yardstick/deploy/k8s"


@pytest.fixture
def own_overlay(tmp_path: Path) -> Path:
    """A folder with its files."""
    readme = (tools.K8S / "README.md").read_text()
    (bullet,) = re.findall(r"^- \*\*Traces\*\*.*?(?=^- \*\*)", readme, re.MULTILINE | re.DOTALL)
    files = re.findall(r"^ {6}# (\S+\.yaml)\n((?: {6}.*\n)+)", bullet, re.MULTILINE)
    assert {name for name, _ in files} == {"kustomization.yaml", "traces.yaml"}
    here = os.path.relpath(tools.K8S, tmp_path.resolve())
    for name, text in files:
        (tmp_path / name).write_text(textwrap.dedent(text).replace(_BESIDE_A_CLONE, here))
    return tmp_path


def test_traces_reach_their_collector_and_nothing_else_changes(
    own_overlay: Path, production: Manifests, invalid: Callable[..., list[str]]
) -> None:
    text = tools.rendered_text(own_overlay)
    with_traces = Manifests("production", list(yaml.safe_load_all(text)))
    added = [each for each in with_traces.gateway().main["env"] if each not in production.gateway().main["env"]]
    assert [each["name"] for each in added] == ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert connections(with_traces) - connections(production) == {("gateway", "collector", 4318)}
    assert connections(production) <= connections(with_traces)
    assert added[0]["value"].endswith(".monitoring:4318")
    assert len(with_traces.objects) == len(production.objects) + 1
    assert not invalid(yaml.safe_dump_all(with_traces.kind("NetworkPolicy", "Deployment")))
