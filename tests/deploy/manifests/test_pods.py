"""What every pod has to be like, in every overlay."""

from __future__ import annotations

import re

from gateway.shadow.sandbox.job import Limits
from tests.deploy.manifests.objects import Manifests
from tests.deploy.manifests.quantities import quantity

GIB = 2**30
_UNWATCHED = 0.5 * GIB  # that a job can take between two looks of the sandbox's watch, as its README says
_GATEWAY = GIB  # of a gateway with tokenizers, open streams and the shadow process: far above what was measured
# restricted, https://kubernetes.io/docs/concepts/security/pod-security-standards/
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def test_every_image_has_a_fixed_version(manifests: Manifests) -> None:
    for pod in manifests.pods():
        for container in pod.containers:
            name, _, tag = container["image"].partition(":")
            assert re.fullmatch(r"v?\d+(\.\d+)+", tag), f"{pod.name}: {container['image']}"
            assert "." not in name.partition("/")[0], f"{pod.name}: {name} names a registry's host"


def test_every_container_has_requests_and_limits(manifests: Manifests) -> None:
    for pod in manifests.pods():
        for container in pod.containers:
            resources = container["resources"]
            for name in ("cpu", "memory"):
                asked, most = (quantity(resources[what][name]) for what in ("requests", "limits"))
                assert 0 < asked <= most, f"{pod.name}: {name}"
            in_memory = [one for one in pod.volumes.values() if one.get("emptyDir", {}).get("medium") == "Memory"]
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            shared = sum(quantity(one["emptyDir"]["sizeLimit"]) for one in in_memory if one["name"] in mounted)
            assert shared < quantity(resources["limits"]["memory"]), f"{pod.name}: shared memory counts as memory"


def test_every_container_that_listens_is_probed(manifests: Manifests) -> None:
    for pod in manifests.pods():
        listens = bool(pod.main.get("ports"))
        probes = {name for name in ("livenessProbe", "readinessProbe") if name in pod.main}
        assert probes == ({"livenessProbe", "readinessProbe"} if listens else set()), pod.name
    unprobed = {pod.labels["app.kubernetes.io/component"] for pod in manifests.pods() if not pod.main.get("ports")}
    assert unprobed <= {"scorer"}


def test_an_empty_folder_has_a_size(manifests: Manifests) -> None:
    for pod in manifests.pods():
        for volume in pod.spec.get("volumes", []):
            assert "emptyDir" not in volume or volume["emptyDir"].get("sizeLimit"), f"{pod.name}: {volume['name']}"


def test_all_pods_are_restricted(manifests: Manifests) -> None:
    for pod in manifests.pods():
        spec, context = pod.spec, pod.spec["securityContext"]
        assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")), pod.name
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= _VOLUMES, f"{pod.name}: {volume['name']}"
        for container in pod.containers:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert own["readOnlyRootFilesystem"] is True  # more than `restricted` asks
            assert not own.get("privileged")
            assert own.get("runAsUser", 1) > 0
            assert own.get("runAsNonRoot", True) is True
            assert not any(port.get("hostPort") for port in container.get("ports", []))


def test_all_namespaces_enforce_it(manifests: Manifests) -> None:
    spaces = {one["metadata"]["name"]: one["metadata"]["labels"] for one in manifests.kind("Namespace")}
    used = {one["metadata"]["namespace"] for one in manifests.objects if one["kind"] != "Namespace"}
    assert spaces.keys() == used
    for labels in spaces.values():
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        assert labels["pod-security.kubernetes.io/enforce-version"] != "latest"


def test_no_pod_has_a_token_for_kubernetes(manifests: Manifests) -> None:
    for pod in manifests.pods():
        assert pod.spec["automountServiceAccountToken"] is False, pod.name
        assert pod.spec["enableServiceLinks"] is False, pod.name


def test_scorers_share_nothing_with_what_serves(production: Manifests) -> None:
    (scorer,) = production.component("scorer")
    assert scorer.namespace == "yardstick-scoring"
    assert {pod.namespace for pod in production.pods() if pod is not scorer} - {"yardstick"} <= {scorer.namespace}
    assert [pod.name for pod in production.pods() if pod.namespace == scorer.namespace] == [scorer.name]
    assert scorer.spec["runtimeClassName"] == "gvisor"
    assert all("emptyDir" in volume for volume in scorer.spec["volumes"])
    secrets = {entry["valueFrom"]["secretKeyRef"]["name"] for entry in scorer.main["env"]}
    assert secrets == {"shadow"}


def test_memory_suffices_for_the_answers_that_are_scored(production: Manifests) -> None:
    (scorer,) = production.component("scorer")
    arguments = scorer.main["args"]
    at_once = int(arguments[arguments.index("--workers") + 1])
    assert quantity(scorer.main["resources"]["limits"]["memory"]) >= GIB + at_once * (Limits().memory + _UNWATCHED)
    assert quantity(scorer.main["resources"]["requests"]["cpu"]) >= at_once
    assert quantity(scorer.volumes["tmp"]["emptyDir"]["sizeLimit"]) >= at_once * Limits().files


def test_memory_suffices_beside_the_gateway(manifests: Manifests) -> None:
    shadow = manifests.config().shadow
    assert shadow is not None
    resources = manifests.gateway().main["resources"]
    needed = _GATEWAY + shadow.scorers * (Limits().memory + _UNWATCHED)
    assert quantity(resources["limits"]["memory"]) >= needed
    assert quantity(resources["requests"]["cpu"]) >= 1 + shadow.scorers


def test_small_scores_in_the_gateways_pod(small: Manifests) -> None:
    assert not small.component("scorer")
    shadow = small.config().shadow
    assert shadow is not None
    assert shadow.scorers == 1
    assert shadow.store == "sqlite:////var/lib/yardstick/shadow.db"
    mounts = {mount["mountPath"]: mount["name"] for mount in small.gateway().main["volumeMounts"]}
    volume = small.gateway().volumes[mounts["/var/lib/yardstick"]]
    claim = volume["persistentVolumeClaim"]["claimName"]
    assert small.named("PersistentVolumeClaim", claim)
    assert not [entry for entry in small.gateway().main["env"] if "SHADOW" in entry["name"]]
