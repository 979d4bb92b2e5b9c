"""checkov finds what is planted, and what is left out has a reason."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import tools
from tests.deploy.manifests.objects import Manifests


@pytest.fixture
def redis(production: Manifests) -> tools.Object:
    """A copy, to be changed."""
    try:
        tools.installed("checkov")
    except tools.Missing as error:
        pytest.skip(str(error))
    return copy.deepcopy(production.named("Deployment", "redis"))


def test_a_privileged_container_and_an_unexplained_exception_are_found(redis: tools.Object, tmp_path: Path) -> None:
    redis["spec"]["template"]["spec"]["containers"][0]["securityContext"]["privileged"] = True
    redis["metadata"]["annotations"] = {"checkov.io/skip1": "CKV_K8S_40"}
    _, findings, _ = tools.checkov(yaml.safe_dump(redis), tmp_path)
    assert any(line.startswith("CKV_K8S_16 ") for line in findings)  # privileged
    assert any(line.startswith("CKV_K8S_40 ") for line in findings)  # left out, and nobody says why
