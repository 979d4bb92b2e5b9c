"""The rendered objects of an overlay, and what pods come of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway.config import Config
from gateway.config_file import Flags, load
from gateway.keys import key_line, new_key

Object = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """Of a workload: what each of its pods is like."""

    owner: Object
    namespace: str
    labels: Mapping[str, str]
    spec: Object

    @property
    def name(self) -> str:
        return f"{self.namespace}/{self.owner['metadata']['name']}"

    @property
    def containers(self) -> list[Object]:
        """With the init containers."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def main(self) -> Object:
        (only,) = self.spec["containers"]
        found: Object = only
        return found

    @property
    def volumes(self) -> dict[str, Object]:
        """By name; of a claim template, the claim's spec."""
        templates = self.owner["spec"].get("volumeClaimTemplates", [])
        claims = {one["metadata"]["name"]: {"claim": one["spec"]} for one in templates}
        return {volume["name"]: volume for volume in self.spec.get("volumes", [])} | claims


class Manifests:
    def __init__(self, overlay: str, objects: list[Object]) -> None:
        self.overlay, self.objects = overlay, objects

    def kind(self, *kinds: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] in kinds]

    def named(self, kind: str, name: str) -> Object:
        (found,) = [one for one in self.kind(kind) if one["metadata"]["name"] == name]
        return found

    def pods(self) -> list[Pod]:
        owners = self.kind("Deployment", "StatefulSet", "DaemonSet", "Job")
        return [
            Pod(
                owner,
                owner["metadata"]["namespace"],
                owner["spec"]["template"]["metadata"]["labels"],
                owner["spec"]["template"]["spec"],
            )
            for owner in owners
        ]

    def component(self, name: str) -> list[Pod]:
        return [pod for pod in self.pods() if pod.labels["app.kubernetes.io/component"] == name]

    def gateway(self) -> Pod:
        (found,) = self.component("gateway")
        return found

    def config(self) -> Config:
        """What the gateway's pods get, read as the gateway reads it, but for the keys that a Secret brings."""
        (maps,) = [one for one in self.kind("ConfigMap") if "yardstick.yaml" in one["data"]]
        return read_config(maps["data"]["yardstick.yaml"])


def read_config(text: str) -> Config:
    document = yaml.safe_load(text)
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys"
        keys.write_text(f"{key_line('first', new_key())}\n")
        path = Path(folder) / "yardstick.yaml"
        path.write_text(yaml.safe_dump(document | {"api_key_file": str(keys)}))
        loaded = load(path, Flags(), to_serve=False)
    assert not loaded.warnings
    return loaded.config


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A Kubernetes label selector; an empty one matches everything."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_expression(one, labels) for one in selector.get("matchExpressions", []))


def selected(manifests: Manifests, one: Object, selector: Mapping[str, Any]) -> list[Pod]:
    """The pods that an object's selector finds: those of its own namespace."""
    return [
        pod
        for pod in manifests.pods()
        if pod.namespace == one["metadata"]["namespace"] and matches(selector, pod.labels)
    ]


def _expression(one: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(one["key"])
    match one["operator"]:
        case "In":
            return value in one["values"]
        case "NotIn":
            return value not in one["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise ValueError(one["operator"])


def strings(value: Any) -> Iterator[str]:
    """All within it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
