"""ConfigMaps, Secrets, and that times and sizes here fit those of the gateway's configuration."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import yaml

from deploy.k8s import engines
from gateway.shadow.live.start import _PATIENCE
from tests.deploy.manifests.objects import Manifests, Pod, strings
from tests.deploy.manifests.tools import K8S

_FLUSH = 10.0  # gateway.drain: twice 5 s for clients to read the error that ended their answers
_DNS = 5.0  # seconds that CoreDNS lets an answer be kept


def _paths(manifests: Manifests, pod: Pod) -> Iterator[str]:
    """All that is said to a pod: arguments, variables, and the settings that it reads."""
    for container in pod.containers:
        yield from strings([container.get("command", []), container.get("args", []), container.get("env", [])])
    if pod.labels["app.kubernetes.io/component"] == "gateway":
        yield from strings(manifests.config().model_dump(mode="json"))
        yield "/etc/yardstick/keys/keys"  # what api_key_file is before `read_config` puts another in its place


def test_every_key_of_every_config_map_is_used_and_every_used_one_is_there(manifests: Manifests) -> None:
    maps = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one["data"]
        for one in manifests.kind("ConfigMap")
        if "grafana_dashboard" not in one["metadata"].get("labels", {})  # read by Grafana's sidecar
    }
    unused = {(name, key) for name, data in maps.items() for key in data}
    for pod in manifests.pods():
        said = list(_paths(manifests, pod))
        for container in pod.containers:
            for mount in container["volumeMounts"]:
                volume = pod.volumes[mount["name"]]
                if "configMap" not in volume:
                    continue
                name = (pod.namespace, volume["configMap"]["name"])
                named = {
                    text[len(mount["mountPath"]) + 1 :] for text in said if text.startswith(f"{mount['mountPath']}/")
                }
                assert named <= maps[name].keys(), f"{pod.name}: {named} in {mount['mountPath']}"
                unused -= {(name, key) for key in named}
        for reference in _references(pod, "configMapKeyRef"):
            assert reference["key"] in maps[pod.namespace, reference["name"]]
            unused.discard(((pod.namespace, reference["name"]), reference["key"]))
    assert not unused


def _references(pod: Pod, kind: str) -> Iterator[dict[str, str]]:
    for container in pod.containers:
        for entry in container.get("env", []):
            if kind in entry.get("valueFrom", {}):
                yield entry["valueFrom"][kind]


def _secrets(pod: Pod) -> Iterator[tuple[str, str]]:
    for reference in _references(pod, "secretKeyRef"):
        yield reference["name"], reference["key"]
    for volume in pod.spec["volumes"]:
        if "secret" in volume:
            name = volume["secret"]["secretName"]
            for item in volume["secret"].get("items", [{"key": "keys"}]):
                yield name, item["key"]


def test_the_readme_makes_every_secret_that_is_used() -> None:
    made = _made_by_the_readme()
    assert made["yardstick", "client-keys"] == {"keys"}


def test_every_secret_is_made_with_every_key(manifests: Manifests) -> None:
    made = _made_by_the_readme()
    for pod in manifests.pods():
        for name, key in _secrets(pod):
            assert key in made.get((pod.namespace, name), set()), (
                f"{pod.name}: README.md makes no Secret {name} with {key}"
            )


def _made_by_the_readme() -> dict[tuple[str, str], set[str]]:
    """`kubectl create secret generic NAME` with its `--from-...=KEY=`, by namespace and name."""
    readme = (K8S / "README.md").read_text().replace("\\\n", " ")
    made: dict[tuple[str, str], set[str]] = {}
    for line in re.findall(r"kubectl .*create secret generic .*", readme):
        space, name = re.search(r"-n (\S+)", line), re.search(r"generic (\S+)", line)
        assert space is not None, line
        assert name is not None, line
        for each in ("yardstick", "yardstick-scoring") if space[1] == '"$space"' else (space[1],):
            made.setdefault((each, name[1]), set()).update(re.findall(r"--from-(?:literal|file)=\"?([\w-]+)=", line))
            if "--from-file=keys" in line:
                made[each, name[1]].add("keys")
    return made


def test_the_gateway_has_time_to_drain(manifests: Manifests) -> None:
    pod, drain = manifests.gateway(), manifests.config().drain
    needed = _pre_stop(pod) + drain.delay + drain.grace + _FLUSH + _PATIENCE
    assert pod.spec["terminationGracePeriodSeconds"] > needed


def test_model_servers_have_time_to_drain(manifests: Manifests) -> None:
    for pod in manifests.component("model-server"):
        arguments = pod.main["args"]
        own = int(arguments[arguments.index("--shutdown-timeout") + 1])
        assert own >= manifests.config().drain.grace, "answers must not break because their server has less time"
        assert pod.spec["terminationGracePeriodSeconds"] >= _pre_stop(pod) + own + 30


def test_the_gateway_has_left_a_model_server_before_it_drains(manifests: Manifests) -> None:
    """vLLM aborts what comes while it drains; the gateway sees by a probe that its name is gone."""
    for pod in manifests.component("model-server"):
        service = manifests.named("Service", pod.owner["spec"]["serviceName"])
        assert service["spec"]["clusterIP"] == "None"
        assert not service["spec"].get("publishNotReadyAddresses")
        assert _pre_stop(pod) >= manifests.config().probes.period + _DNS + 5


def _pre_stop(pod: Pod) -> float:
    seconds: float = pod.main.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    return seconds


def test_loading_takes_minutes_and_long_prompts_kill_nobody(manifests: Manifests) -> None:
    for pod in manifests.component("model-server"):
        start, live = pod.main["startupProbe"], pod.main["livenessProbe"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 3600  # `yardstick engine vllm --start-timeout`
        assert live["httpGet"]["path"] == start["httpGet"]["path"] == "/health"  # which asks the engine nothing
        assert live["periodSeconds"] * live["failureThreshold"] >= 300
        assert live["timeoutSeconds"] >= 10
    live = manifests.gateway().main["livenessProbe"]
    assert live["httpGet"]["path"] == "/health/live"
    assert live["periodSeconds"] * live["failureThreshold"] >= 60


def test_every_endpoint_is_a_pod_and_every_pod_an_endpoint(manifests: Manifests) -> None:
    addresses = [urlsplit(endpoint.url) for pool in manifests.config().pools for endpoint in pool.endpoints]
    pods = {
        f"{pod.owner['metadata']['name']}-{number}.{pod.owner['spec']['serviceName']}": pod
        for pod in manifests.component("model-server")
        for number in range(pod.owner["spec"]["replicas"])
    }
    assert sorted(address.hostname or "" for address in addresses) == sorted(pods)
    for address in addresses:
        listens = [port["containerPort"] for port in pods[address.hostname or ""].main["ports"]]
        assert address.port in listens


def test_only_what_the_overlay_is_about_differs_between_configurations(manifests: Manifests) -> None:
    base = yaml.safe_load(engines.CONFIG.read_text())
    own = yaml.safe_load((K8S / "overlays" / manifests.overlay / "yardstick.yaml").read_text())
    for document in (base, own):
        document.pop("shadow")
        for pool in document["pools"]:
            del pool["endpoints"]
    assert own == base


def test_our_own_requests_come_after_those_of_people(manifests: Manifests) -> None:
    shadow = manifests.config().shadow
    assert shadow is not None
    assert shadow.priority is not None
    assert shadow.priority > 0  # vLLM's of a request that says nothing; a greater one comes later
    assert not list(_without_priorities(manifests))


def test_a_server_that_refuses_priorities_is_told(manifests: Manifests) -> None:
    changed = Manifests(manifests.overlay, copy.deepcopy(manifests.objects))
    pods = changed.component("model-server")
    for pod, policy in zip(pods, ("fcfs", None), strict=True):
        at = pod.main["args"].index("--scheduling-policy")
        pod.main["args"][at : at + 2] = ["--scheduling-policy", policy] if policy else []
    assert list(_without_priorities(changed)) == [pod.name for pod in pods]


def _without_priorities(manifests: Manifests) -> Iterator[str]:
    """Model servers that refuse a request with a priority: vLLM's default takes none but 0."""
    for pod in manifests.component("model-server"):
        if "--scheduling-policy priority" not in " ".join(pod.main["args"]):
            yield pod.name
