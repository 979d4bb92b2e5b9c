"""The schemas' check finds what is planted, and the overlays pass it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import yaml

from tests.deploy.manifests import tools
from tests.deploy.manifests.objects import Manifests

Invalid = Callable[..., list[str]]


def test_unknown_fields_and_wrong_types_are_found(production: Manifests, invalid: Invalid) -> None:
    objects = copy.deepcopy(production.objects)
    (gateway,) = [one for one in objects if one["kind"] == "Deployment" and one["metadata"]["name"] == "gateway"]
    gateway["spec"]["template"]["spec"]["terminationGraceSeconds"] = 600
    (redis,) = [one for one in objects if one["kind"] == "Deployment" and one["metadata"]["name"] == "redis"]
    redis["spec"]["minReadySeconds"] = "soon"
    found = invalid(yaml.safe_dump_all(objects), ["1.30"])
    assert len(found) == 2
    assert any("terminationGraceSeconds" in line for line in found)
    assert any("soon" in line for line in found)


def test_custom_resources_are_checked_too(production: Manifests, invalid: Invalid) -> None:
    if tools.crds() is None:
        pytest.skip("YARDSTICK_TEST_DATA is not set: no definitions of custom resources")
    objects = copy.deepcopy(production.kind("ServiceMonitor"))
    objects[0]["spec"]["endpoints"][0]["intervall"] = "15s"
    objects[1]["spec"]["selector"] = "all"
    found = invalid(yaml.safe_dump_all(objects), ["1.30"], tools.crds())
    assert len(found) == 2
    assert not invalid(yaml.safe_dump_all(production.kind("ServiceMonitor")), ["1.30"], tools.crds())


def test_a_custom_resource_without_a_definition_is_no_valid_one(invalid: Invalid) -> None:
    if tools.crds() is None:
        pytest.skip("YARDSTICK_TEST_DATA is not set: no definitions of custom resources")
    unheard_of = {"apiVersion": "monitoring.coreos.com/v7", "kind": "ServiceMonitor", "metadata": {"name": "x"}}
    assert invalid(yaml.safe_dump(unheard_of), ["1.30"], tools.crds())
