"""What NetworkPolicies allow, by Kubernetes' rules: who is selected by none may do anything, else what one allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.deploy.manifests.objects import Manifests, Object, matches

KUBERNETES_NAMES = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Party:
    """Pods that are alike, ours or another namespace's. ``ports`` are those that they listen on."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    ports: tuple[tuple[int, str], ...] = ()


DNS = Party("dns", "kube-system", {"k8s-app": "kube-dns"}, ((53, "UDP"), (53, "TCP")))
PROMETHEUS = Party("prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"})
CLIENT = Party("client", "apps", {})
COLLECTOR = Party("collector", "monitoring", {"app.kubernetes.io/name": "opentelemetry-collector"}, ((4318, "TCP"),))
_ASKED = (DNS, COLLECTOR)  # they connect to nobody here


def parties(manifests: Manifests) -> list[Party]:
    own = []
    for pod in manifests.pods():
        listens = tuple((port["containerPort"], "TCP") for port in pod.main.get("ports", []))
        name = pod.labels.get("app.kubernetes.io/instance") or pod.labels["app.kubernetes.io/component"]
        own.append(Party(name, pod.namespace, pod.labels, listens))
    return [*own, *_ASKED, PROMETHEUS, CLIENT]


def connections(manifests: Manifests) -> set[tuple[str, str, int]]:
    """Who may connect to whom, at which port that is listened on; two pods of a kind are two of them.

    DNS and a collector of traces connect to nobody, and what other namespaces' pods ask them is not ours to allow.
    """
    policies, everyone = manifests.kind("NetworkPolicy"), parties(manifests)
    found = set()
    for source in everyone:
        for target in everyone:
            if source in _ASKED or (target in _ASKED and source in (PROMETHEUS, CLIENT)):
                continue
            for number, protocol in target.ports:
                out = _allows(policies, "Egress", source, target, number, protocol)
                if out and _allows(policies, "Ingress", target, source, number, protocol):
                    found.add((source.name, target.name, number))
    return found


def _allows(policies: Sequence[Object], way: str, one: Party, other: Party, port: int, protocol: str) -> bool:
    """Whether ``one`` may have traffic ``way`` with ``other``; ``port`` is the receiver's."""
    selecting = [policy for policy in policies if _selects(policy, way, one)]
    if not selecting:
        return True
    side, key = ("to", "egress") if way == "Egress" else ("from", "ingress")
    return any(
        _ports(rule, port, protocol) and (side not in rule or any(_peer(peer, other, one) for peer in rule[side]))
        for policy in selecting
        for rule in policy["spec"].get(key, [])
    )


def _selects(policy: Object, way: str, party: Party) -> bool:
    spec = policy["spec"]
    here = policy["metadata"]["namespace"] == party.namespace
    return here and way in spec["policyTypes"] and matches(spec["podSelector"], party.labels)


def _ports(rule: Object, port: int, protocol: str) -> bool:
    return "ports" not in rule or any(
        one["port"] == port and one.get("protocol", "TCP") == protocol for one in rule["ports"]
    )


def _peer(peer: Object, party: Party, own: Party) -> bool:
    if "ipBlock" in peer:
        return False  # of public addresses; pods have others
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"], {KUBERNETES_NAMES: party.namespace}):
            return False
    elif party.namespace != own.namespace:
        return False
    return matches(peer.get("podSelector", {}), party.labels)
