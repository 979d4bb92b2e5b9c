"""Run by the tools' own Python: would Kubernetes take these objects? validate.py VERSION... [--crds FOLDER] < rendered

A line for each thing that it would not take, unknown fields among them; ends with 1 if there is one. Without --crds
objects of custom resources are left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("versions", nargs="+")
    parser.add_argument("--crds", type=Path)
    given = parser.parse_args()
    objects = list(yaml.load_all(sys.stdin, yaml.CSafeLoader))
    customs = {one["kind"] for one in objects if is_custom(one)}
    schemas = definitions(given.crds, customs) if given.crds else None
    problems = list(dict.fromkeys(line for one in objects for line in problems_of(one, given.versions, schemas)))
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


def is_custom(one: dict[str, Any]) -> bool:
    """Kubernetes' own groups have no dot, or end with k8s.io."""
    group = one["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def problems_of(one: dict[str, Any], versions: list[str], schemas: dict[str, Any] | None) -> Iterator[str]:
    name = f"{one['kind']} {one['metadata'].get('name')}"
    if is_custom(one):
        if schemas is None:
            return
        schema = schemas.get(f"{one['apiVersion']} {one['kind']}")
        if schema is None:
            yield f"{name}: no definition of {one['apiVersion']} {one['kind']} is there"
            return
        for error in jsonschema.Draft202012Validator(schema).iter_errors(one):
            yield f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message}"
        return
    for version in versions:
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name}: {'.'.join(map(str, error.path))}: {error.message} (Kubernetes {version})"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{name}: {error} (Kubernetes {version})"


def definitions(folder: Path, kinds: set[str]) -> dict[str, Any]:
    """By version and kind, closed. Only files that have one of the kinds are read: they are large."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        text = path.read_text()
        if not any(f"kind: {kind}\n" in text for kind in kinds):
            continue
        for document in yaml.load_all(text, yaml.CSafeLoader):
            if not document or document.get("kind") != "CustomResourceDefinition":
                continue
            spec = document["spec"]
            for version in spec["versions"]:
                name = f"{spec['group']}/{version['name']} {spec['names']['kind']}"
                found[name] = closed(version["schema"]["openAPIV3Schema"], top=True)
    return found


def closed(schema: Any, *, top: bool = False) -> Any:
    """Unknown fields are errors, as for a strict API server; a whole object's metadata is Kubernetes' own."""
    if not isinstance(schema, dict):
        return schema
    result = {
        key: closed(value) for key, value in schema.items() if key not in ("properties", "allOf", "oneOf", "anyOf")
    }
    result |= {key: schema[key] for key in ("allOf", "oneOf", "anyOf") if key in schema}
    if schema.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
    if "properties" in schema:
        result["properties"] = {key: closed(value) for key, value in schema["properties"].items()}
        if top:
            result["properties"] |= {"metadata": {"type": "object"}}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            result["additionalProperties"] = False
    return result


if __name__ == "__main__":
    sys.exit(main())
