"""The committed dashboards, as a Grafana would read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from deploy.k8s.dashboards.__main__ import FOLDER

FILES = tuple(sorted(path.name for path in FOLDER.glob("*.json")))
JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of one panel."""

    panel: str
    query: str


@cache
def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def board(name: str) -> JSON:
    return dict(json.loads(text(name)))


def panels(name: str) -> Iterator[JSON]:
    """All but rows."""
    for each in board(name)["panels"]:
        if each["type"] == "row":
            yield from each.get("panels", ())
        else:
            yield each


def numbered(name: str) -> Iterator[JSON]:
    """Whatever has an id: panels, rows, and what is in rows."""
    for each in board(name)["panels"]:
        yield each
        yield from each.get("panels", ())


def queries(name: str) -> Iterator[Asked]:
    for panel in panels(name):
        for target in panel["targets"]:
            yield Asked(panel["title"], target["expr"])


def variables(name: str) -> dict[str, JSON]:
    return {each["name"]: each for each in board(name)["templating"]["list"]}


def variable_query(variable: JSON) -> str:
    """Empty for a list of data sources."""
    asked = variable["query"]
    return str(asked["query"]) if isinstance(asked, dict) else ""
