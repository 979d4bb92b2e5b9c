"""That `production` has all that a team needs, for everyone who needs it, and that a missing piece is told."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest

from tests.deploy.manifests.objects import Manifests, Object, Pod, selected
from tests.deploy.manifests.tools import K8S, OVERLAYS

_NODES, _ZONES = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
Change = Callable[[Manifests], None]


def served(manifests: Manifests) -> list[Pod]:
    """The gateway and every pool: without one of them requests get no answer."""
    return [manifests.gateway(), *manifests.component("model-server")]


def lacks(manifests: Manifests) -> Iterator[str]:
    """A sentence for each thing that is missing, or that would do nothing."""
    yield from _budgets(manifests)
    yield from _autoscalers(manifests)
    yield from _spreading(manifests)


def _budgets(manifests: Manifests) -> Iterator[str]:
    """One each for gateway and pools, that of several pods lets one go; none that holds others on their nodes."""
    least = {one["spec"]["scaleTargetRef"]["name"]: one["spec"]["minReplicas"] for one in _scalers(manifests)}
    budgets = manifests.kind("PodDisruptionBudget")
    protected = [pod.name for one in budgets for pod in selected(manifests, one, one["spec"]["selector"])]
    for pod in served(manifests):
        if protected.count(pod.name) != 1:  # with two, Kubernetes evicts nobody
            yield f"{pod.name}: {protected.count(pod.name)} disruption budgets"
        if pod.owner["spec"].get("replicas", least.get(pod.owner["metadata"]["name"], 1)) < 2:
            yield f"{pod.name}: one pod alone, which a drained node takes away"
    for name in sorted(set(protected) - {pod.name for pod in served(manifests)}):
        yield f"{name}: a disruption budget that nobody asked for"
    for one in budgets:
        if one["spec"].get("maxUnavailable") != 1:
            yield f"{one['metadata']['name']}: a disruption budget that does not let one go at a time"


def _scalers(manifests: Manifests) -> list[Object]:
    return manifests.kind("HorizontalPodAutoscaler")


def _autoscalers(manifests: Manifests) -> Iterator[str]:
    """Of the gateway alone: the README says why pools have none."""
    targets = [one["spec"]["scaleTargetRef"] for one in _scalers(manifests)]
    if [(one["kind"], one["name"]) for one in targets] != [("Deployment", "gateway")]:
        yield f"autoscalers of {[one['name'] for one in targets]}, and not of the gateway alone"
    if "replicas" in manifests.gateway().owner["spec"]:
        yield "yardstick/gateway: replicas beside an autoscaler"


def _spreading(manifests: Manifests) -> Iterator[str]:
    """Over nodes, the gateway over zones as well; evenly, among its own pods, and never kept from starting for it."""
    for pod in served(manifests):
        constraints = pod.spec.get("topologySpreadConstraints", [])
        wanted = {_NODES, _ZONES} if pod.owner["kind"] == "Deployment" else {_NODES}
        over = {one["topologyKey"] for one in constraints if _spreads(manifests, pod, one)}
        for key in sorted(wanted - over):
            yield f"{pod.name}: not spread by {key}"


def _spreads(manifests: Manifests, pod: Pod, constraint: Object) -> bool:
    own = [each.name for each in selected(manifests, pod.owner, constraint["labelSelector"])] == [pod.name]
    return own and constraint["maxSkew"] == 1 and constraint["whenUnsatisfiable"] == "ScheduleAnyway"


def test_production_lacks_nothing(production: Manifests) -> None:
    assert not list(lacks(production))
    assert len(served(production)) == 1 + len(production.config().pools)


def test_each_disruption_budget_is_missed(production: Manifests) -> None:
    told = []
    for budget in production.kind("PodDisruptionBudget"):
        others = [one for one in production.objects if one is not budget]
        told += list(lacks(Manifests("production", others)))
    assert sorted(told) == sorted(f"{pod.name}: 0 disruption budgets" for pod in served(production))


def _without_autoscaler(manifests: Manifests) -> None:
    manifests.objects.remove(manifests.named("HorizontalPodAutoscaler", "gateway"))


def _budget_of_another(manifests: Manifests) -> None:
    selector = manifests.named("PodDisruptionBudget", "codegeex")["spec"]["selector"]
    selector["matchLabels"]["app.kubernetes.io/instance"] = "iquest-loop"


def _budget_of_all(manifests: Manifests) -> None:
    manifests.named("PodDisruptionBudget", "codegeex")["spec"]["selector"] = {}


def _budget_of_nothing(manifests: Manifests) -> None:
    manifests.named("PodDisruptionBudget", "gateway")["spec"]["maxUnavailable"] = 0


def _one_server(manifests: Manifests) -> None:
    manifests.named("StatefulSet", "iquest-loop")["spec"]["replicas"] = 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_without_autoscaler, ["yardstick/gateway: one pod alone", "autoscalers of []"]),
        (_budget_of_another, ["yardstick/codegeex: 0 disruption budgets", "yardstick/iquest-loop: 2 disruption"]),
        (_budget_of_all, ["yardstick/gateway: 2 ", "yardstick/iquest-loop: 2 ", "yardstick/postgresql: a disruption"]),
        (_budget_of_nothing, ["gateway: a disruption budget that does not let one go"]),
        (_one_server, ["yardstick/iquest-loop: one pod alone"]),
    ],
)
def test_what_is_changed_is_told(production: Manifests, change: Change, told: list[str]) -> None:
    changed = Manifests("production", copy.deepcopy(production.objects))
    change(changed)
    found = list(lacks(changed))
    for start in told:
        assert any(line.startswith(start) for line in found), (start, found)


@pytest.mark.parametrize(
    "other",
    [
        {"topologyKey": "kubernetes.io/os"},
        {"maxSkew": 5},
        {"whenUnsatisfiable": "DoNotSchedule"},
        {"labelSelector": {"matchLabels": {"app.kubernetes.io/component": "gateways"}}},
        {"labelSelector": {}},
    ],
)
def test_a_constraint_that_does_not_spread_is_told(production: Manifests, other: Object) -> None:
    changed = Manifests("production", copy.deepcopy(production.objects))
    told = []
    for pod in served(changed):
        for constraint in pod.spec["topologySpreadConstraints"]:
            told.append(f"{pod.name}: not spread by {constraint['topologyKey']}")
            constraint |= other
    assert sorted(lacks(changed)) == sorted(told)
    assert len(told) == 1 + len(served(production))


def test_every_overlay_is_rendered_and_checked() -> None:
    """A new one has to be added to `OVERLAYS`, and with that to every test here."""
    assert {path.parent.name for path in (K8S / "overlays").glob("*/kustomization.yaml")} == set(OVERLAYS)
