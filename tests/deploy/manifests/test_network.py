"""Connections that NetworkPolicies allow: those that the configuration's addresses need, and no others."""

from __future__ import annotations

import copy
import ipaddress
import re
from urllib.parse import urlsplit

from tests.deploy.manifests.network import connections, parties
from tests.deploy.manifests.objects import Manifests
from tests.deploy.manifests.tools import K8S

_DATABASES = {"postgresql": 5432, "redis": 6379}


def _shadow_addresses() -> set[tuple[str, int]]:
    """Host and port of store and queue, as the README's Secret `shadow` has them."""
    readme = (K8S / "README.md").read_text()
    urls = [urlsplit(found) for found in re.findall(r"(?:store|queue)=\"?((?:postgresql|redis)://[^\s\"]+)", readme)]
    assert {url.scheme for url in urls} == set(_DATABASES)
    return {(url.hostname or "", url.port or _DATABASES[url.scheme]) for url in urls}


def _needed(manifests: Manifests) -> set[tuple[str, str, int]]:
    """By the gateway's endpoints, the Secret's addresses, clients, Prometheus, and DNS for whoever looks up names."""
    needed = {("client", "gateway", 8080), ("prometheus", "gateway", 8080)}
    for pool in manifests.config().pools:
        for endpoint in pool.endpoints:
            server = (urlsplit(endpoint.url).hostname or "").split(".")[1]
            needed |= {("gateway", server, endpoint.port), ("prometheus", server, endpoint.port)}
            needed.add((server, "dns", 53))  # it fetches weights
    for host, port in _shadow_addresses():
        service = manifests.named("Service", host.split(".")[0])
        component = service["spec"]["selector"]["app.kubernetes.io/component"]
        needed |= {("gateway", component, port), ("scorer", component, port)}
    return needed | {("gateway", "dns", 53), ("scorer", "dns", 53)}


def test_production_allows_what_is_needed_and_nothing_more(production: Manifests) -> None:
    assert connections(production) == _needed(production)


def test_what_is_needed_is_missed_and_what_is_not_is_seen(production: Manifests) -> None:
    """The test above can fail: without any one policy, and with a rule more."""
    for policy in production.kind("NetworkPolicy"):
        if policy["metadata"] == {"name": "deny-all", "namespace": "yardstick-scoring"} | policy["metadata"]:
            continue  # for pods that are not there yet: see the last test
        others = [one for one in production.objects if one is not policy]
        assert connections(Manifests("production", others)) != connections(production), policy["metadata"]["name"]
    more = copy.deepcopy(production.objects)
    (door,) = [one for one in more if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "to-store"]
    door["spec"]["ingress"].append({})
    added = connections(Manifests("production", more)) - connections(production)
    assert added == {("client", "store", 5432), ("prometheus", "store", 5432)}  # to others their own side forbids it
    for one in more:
        if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "weights-from-hub":
            one["spec"]["egress"].append({})  # now both sides allow it
    assert ("codegeex", "store", 5432) in connections(Manifests("production", more))


def test_in_small_too_only_the_gateway_asks_model_servers(small: Manifests) -> None:
    servers = {pod.labels["app.kubernetes.io/instance"] for pod in small.component("model-server")}
    asked_by = {source for source, target, _ in connections(small) if target in servers}
    assert asked_by == {"gateway"}


def test_only_model_servers_reach_the_internet_and_no_private_address(production: Manifests) -> None:
    for policy in production.kind("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            assert "to" in rule, f"{policy['metadata']['name']} allows every address"
            for peer in rule["to"]:
                if "ipBlock" not in peer:
                    continue
                assert policy["metadata"]["name"] == "weights-from-hub"
                assert rule["ports"] == [{"port": 443, "protocol": "TCP"}]
                excepted = [ipaddress.ip_network(one) for one in peer["ipBlock"]["except"]]
                for inside in ("10.1.2.3", "172.20.0.1", "192.168.1.1", "169.254.169.254", "127.0.0.1", "100.64.0.1"):
                    assert any(ipaddress.ip_address(inside) in network for network in excepted), inside


def test_scorers_are_selected_in_both_directions(production: Manifests) -> None:
    (scorer,) = [party for party in parties(production) if party.name == "scorer"]
    deny = [one for one in production.kind("NetworkPolicy") if one["metadata"]["namespace"] == scorer.namespace]
    assert any(one["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for one in deny)
