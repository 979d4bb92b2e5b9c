"""From a YAML file and command line flags to a Config, or to a list of everything that is wrong, with positions."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.config import Config, EndpointSettings
from gateway.config_base import Settings
from gateway.config_document import ConfigError, Document, Problem
from gateway.config_problems import SettingPath, binding, findings, is_tokenizer_path, missing_keys
from gateway.config_schema import schema_problems, settings_in
from gateway.config_shadow import OWN_SUITE


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says; it overrides the file. ``endpoints`` are (model, endpoint)."""

    host: str | None = None
    port: int | None = None
    threshold: int | None = None
    api_key_file: str | None = None
    endpoints: tuple[tuple[str, EndpointSettings], ...] = ()
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    config: Config
    warnings: tuple[Problem, ...]


def load(path: Path | None, flags: Flags, *, to_serve: bool = True) -> Loaded:
    """The configuration of a file, of flags, or of both. Raises ConfigError with everything that is wrong.

    ``to_serve`` also refuses an address that may not be bound, and keys that are not in the environment.
    """
    document = Document.read(path) if path is not None else Document()
    data = _with_absolute_paths(without_empty_sections(document.data, Config), path)
    data = _with_routing_of_one_pool(_with_flags(data, flags, document.overridden))
    problems = list(document.duplicates())
    config: Config | None
    try:
        config = _validated(data)
    except ValidationError as error:
        problems += schema_problems(document, error)
        config = _ignoring_unknown_keys(data, error)
    if config is not None:
        to_use = (*missing_keys(config), *binding(config)) if to_serve else ()
        problems += [document.problem(finding) for finding in (*findings(config), *to_use)]
    problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
    if config is None or any(problem.severity == "error" for problem in problems):
        raise ConfigError(problems)
    return Loaded(config, tuple(problems))


def _validated(data: Mapping[str, Any]) -> Config:
    # By way of JSON: in pydantic's strict mode `port: true` and `port: "8080"` are errors, and only JSON's lists may
    # still become tuples.
    return Config.model_validate_json(json.dumps(data, default=str), strict=True)


def without_empty_sections(data: dict[str, Any], settings: type[Settings]) -> dict[str, Any]:
    """`limits:` with nothing (or comments only) below it means its defaults."""
    found = {}
    for key, value in data.items():
        field = settings.model_fields.get(str(key))
        inner = settings_in(field.annotation) if field is not None else None
        if inner is not None and isinstance(value, dict):
            value = without_empty_sections(value, inner) or None
        mapping = field is not None and field.default_factory is not None
        if value is not None or not (inner is not None or mapping):
            found[key] = value
    return found


def _with_absolute_paths(data: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """Paths in a file are relative to that file, so that it means the same wherever it is used from."""
    if path is None:
        return data
    folder = path.resolve().parent
    if isinstance(data.get("api_key_file"), str):
        data = data | {"api_key_file": str(folder / Path(data["api_key_file"]).expanduser())}
    if isinstance(data.get("shadow"), dict):
        data = data | {"shadow": _with_absolute_paths_of_shadow(data["shadow"], folder)}
    if not isinstance(data.get("pools"), list):
        return data

    return data | {"pools": [_with_absolute_paths_of_pool(pool, folder) for pool in data["pools"]]}


def _with_absolute_paths_of_pool(pool: Any, folder: Path) -> Any:
    if not isinstance(pool, dict):
        return pool
    tokenizer, engine = pool.get("tokenizer"), pool.get("engine") or {}
    if isinstance(tokenizer, str) and is_tokenizer_path(tokenizer):
        pool = pool | {"tokenizer": str(folder / Path(tokenizer).expanduser())}
    weights = engine.get("weights") if isinstance(engine, dict) else None
    if isinstance(weights, str) and weights.startswith(("/", ".", "~")):
        pool = pool | {"engine": engine | {"weights": str(folder / Path(weights).expanduser())}}
    return pool


def _with_absolute_paths_of_shadow(shadow: dict[str, Any], folder: Path) -> dict[str, Any]:
    def placed(name: Any) -> Any:
        return str(folder / Path(name).expanduser()) if isinstance(name, str) and name != OWN_SUITE else name

    found = {name: placed(value) if name in ("environment", "gate") else value for name, value in shadow.items()}
    if isinstance(shadow.get("suites"), list):
        found["suites"] = [placed(name) for name in shadow["suites"]]
    if isinstance(canary := shadow.get("canary"), dict):
        canary = {name: placed(value) if name == "suite" else value for name, value in canary.items()}
        if isinstance(inflation := canary.get("inflation"), dict) and "folder" in inflation:
            canary["inflation"] = inflation | {"folder": placed(inflation["folder"])}
        found["canary"] = canary
    return found


def _with_flags(data: dict[str, Any], flags: Flags, overridden: dict[SettingPath, str]) -> dict[str, Any]:
    """The settings as the flags change them; notes in ``overridden`` which setting comes from which flag."""
    data = copy.deepcopy(data)
    for name in ("host", "port", "api_key_file", "workers"):
        value = getattr(flags, name)
        if value is not None:
            data[name] = value
            overridden[(name,)] = "--" + name.replace("_", "-")
    if flags.threshold is not None and isinstance(data.setdefault("routing", {}), dict):
        data["routing"] = data["routing"] | {"threshold": flags.threshold}
        overridden[("routing", "threshold")] = "--threshold"
    if flags.endpoints:
        pools = data.setdefault("pools", [])
        if isinstance(pools, list):
            _place_endpoints(pools, flags, overridden)
    return data


def _place_endpoints(pools: list[Any], flags: Flags, overridden: dict[SettingPath, str]) -> None:
    """The flags' endpoints replace those of the same model's pool; a model that has no pool yet gets one."""
    endpoints: dict[str, list[dict[str, Any]]] = {}
    for model, endpoint in flags.endpoints:
        endpoints.setdefault(model, []).append(endpoint.model_dump(exclude_none=True))
    for index, pool in enumerate(pools):
        if isinstance(pool, dict) and pool.get("model") in endpoints:
            pools[index] = pool | {"endpoints": endpoints.pop(pool["model"])}
            overridden[("pools", index, "endpoints")] = "--endpoint"
    for model, listed in endpoints.items():
        overridden[("pools", len(pools))] = "--endpoint"
        pools.append({"model": model, "endpoints": listed})


def _with_routing_of_one_pool(data: dict[str, Any]) -> dict[str, Any]:
    """With a single pool there is nothing to choose: ``auto`` is that model, whatever the length."""
    pools, routing = data.get("pools"), data.get("routing", {})
    if not (isinstance(pools, list) and len(pools) == 1 and isinstance(pools[0], dict) and isinstance(routing, dict)):
        return data
    model = pools[0].get("model")
    return data | {"routing": {"short": model, "long": model} | routing} if isinstance(model, str) else data


def _ignoring_unknown_keys(data: dict[str, Any], error: ValidationError) -> Config | None:
    """The configuration without its unknown keys, to look at the rest of it too; None if more is wrong."""
    data = copy.deepcopy(data)
    for detail in error.errors(include_url=False):
        if detail["type"] != "extra_forbidden":
            return None
        parent: Any = data
        for part in detail["loc"][:-1]:
            parent = parent[part]
        parent.pop(detail["loc"][-1], None)
    try:
        return _validated(data)
    except ValidationError:
        return None
