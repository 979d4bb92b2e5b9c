"""Objects that name others: selectors, ports, targets, and metrics."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator

from gateway.engines.simulated.metrics import EngineMetrics
from gateway.engines.simulated.settings import SimulatedSettings
from gateway.telemetry import names
from tests.deploy.manifests.objects import Manifests, Object, matches, selected, strings

_METRIC = re.compile(r"(?<![\w:])[\w:]*(?:yardstick_|vllm:)[\w:]+")
_SUFFIX = re.compile(r"_(?:total|bucket|sum|count|created|info)$")


def test_every_workload_selects_its_own_pods_and_no_others(manifests: Manifests) -> None:
    for pod in manifests.pods():
        assert [one.name for one in selected(manifests, pod.owner, pod.owner["spec"]["selector"])] == [pod.name]
        for constraint in pod.spec.get("topologySpreadConstraints", []):
            assert [one.name for one in selected(manifests, pod.owner, constraint["labelSelector"])] == [pod.name]


def test_every_service_has_pods_that_listen(manifests: Manifests) -> None:
    for service in manifests.kind("Service"):
        pods = selected(manifests, service, {"matchLabels": service["spec"]["selector"]})
        assert len(pods) == 1, service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in [own["name"] for own in pods[0].main["ports"]]


def test_every_probe_asks_a_port_that_is_there(manifests: Manifests) -> None:
    for pod in manifests.pods():
        ports = {port["name"] for port in pod.main.get("ports", [])}
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = pod.main.get(name, {})
            assert probe.get("httpGet", {}).get("port", "http") in ports | {"http"}
            assert "httpGet" in probe or "exec" in probe or not probe


def test_the_ports_are_those_of_the_settings(manifests: Manifests) -> None:
    (gateway,) = manifests.component("gateway")
    assert [port["containerPort"] for port in gateway.main["ports"]] == [manifests.config().port]
    for pod in manifests.component("model-server"):
        arguments = pod.main["args"]
        assert [str(port["containerPort"]) for port in pod.main["ports"]] == [arguments[arguments.index("--port") + 1]]


def test_every_autoscaler_has_a_target(production: Manifests) -> None:
    for scaler in production.kind("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        (pod,) = [
            pod
            for pod in production.pods()
            if pod.owner["metadata"]["name"] == target["name"] and pod.owner["kind"] == target["kind"]
        ]
        assert "replicas" not in pod.owner["spec"], "two would decide how many there are"


def test_every_monitor_finds_a_port(production: Manifests) -> None:
    watched = set()
    for monitor in production.kind("ServiceMonitor"):
        services = [
            service
            for service in production.kind("Service")
            if service["metadata"]["namespace"] == monitor["metadata"]["namespace"]
            and matches(monitor["spec"]["selector"], service["metadata"].get("labels", {}))
        ]
        assert services, monitor["metadata"]["name"]
        for service in services:
            watched.add(service["metadata"]["name"])
            ports = {port["name"] for port in service["spec"]["ports"]}
            assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports
    pools = {pod.owner["spec"]["serviceName"] for pod in production.component("model-server")}
    assert watched == {"gateway", *pools}


def _known_metrics() -> set[str]:
    ours = {one.name for one in vars(names).values() if isinstance(one, names.Name)}
    text = EngineMetrics(SimulatedSettings(model="codegeex4-all-9b", port=0, tokenizer="unused")).exposition().decode()
    return ours | {_SUFFIX.sub("", name) for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)}


def _unknown_metrics(objects: list[Object]) -> Iterator[str]:
    """Those that rules and autoscalers name and nobody has."""
    told = [one for one in objects if one["kind"] in ("PrometheusRule", "HorizontalPodAutoscaler", "ScaledObject")]
    known = _known_metrics() | {text for one in told for text in _recorded(one)}
    for one in told:
        for text in strings(one["spec"]):
            for name in _METRIC.findall(text):
                if name not in known and _SUFFIX.sub("", name) not in known:
                    yield name


def _recorded(one: Object) -> list[str]:
    groups = one["spec"].get("groups", []) if one["kind"] == "PrometheusRule" else []
    return [rule["record"] for group in groups for rule in group["rules"] if "record" in rule]


def test_every_metric_that_is_named_exists(manifests: Manifests) -> None:
    assert not list(_unknown_metrics(manifests.objects))


def test_a_metric_that_nobody_has_is_seen(production: Manifests) -> None:
    objects = copy.deepcopy(production.objects)
    (scaler,) = [one for one in objects if one["kind"] == "HorizontalPodAutoscaler"]
    names_of = ("vllm:num_requests_waiting", "yardstick_in_flight", "yardstick_requests_total", "yardstick_nonsense")
    for name in names_of:
        scaler["spec"]["metrics"].append({"type": "Pods", "pods": {"metric": {"name": name}}})
    assert list(_unknown_metrics(objects)) == ["yardstick_nonsense"]
