"""Every query of every panel of Grafana's dashboards, with its variables filled in as Grafana fills them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.demo.observe.prometheus import Series

_use = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)|\[\[(\w+)\]\]")
_values_of = re.compile(r"^label_values\((?:(.+),)?\s*(\w+)\s*\)$", re.DOTALL)
_legend_label = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_OTHER_KINDS = ("datasource", "textbox")

LabelValues = Callable[[str, str], list[str]]


@dataclass(frozen=True, slots=True)
class Query:
    """``legend``: Grafana's legendFormat."""

    dashboard: str
    panel: str
    reference: str
    expression: str
    legend: str = ""

    @property
    def name(self) -> str:
        return f"{self.dashboard} / {self.panel} / {self.reference}"


@dataclass(frozen=True, slots=True)
class Variable:
    """``label`` of ``selector``; or what it has to choose from, if that is fixed. ``several``: of which more can be
    chosen than one, so that queries match it as a regular expression.
    """

    name: str
    selector: str = ""
    label: str = ""
    fixed: tuple[str, ...] = ()
    all_value: str = ""
    several: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    title: str
    queries: tuple[Query, ...]
    variables: tuple[Variable, ...]

    def values(self, label_values: LabelValues, built_in: Mapping[str, str]) -> dict[str, str]:
        """Of its variables: all that there is, where several can be chosen, else the first.

        ``label_values(label, selector)`` asks Prometheus. ``built_in``: Grafana's own, and what is chosen already.
        """
        found = dict(built_in)
        for each in self.variables:
            if each.name not in found:
                options = list(each.fixed) or label_values(each.label, filled(each.selector, found))
                all_of_them = (each.all_value or _any_of(options)) if each.several else next(iter(options), "")
                found[each.name] = all_of_them
        return found


def dashboards(folder: Path) -> list[Dashboard]:
    """Raises OSError, or ValueError for what is no dashboard."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise OSError(f"there is no dashboard (*.json) in {folder}")
    return [_dashboard(file) for file in files]


def filled(expression: str, values: Mapping[str, str]) -> str:
    """Raises ValueError for a variable that has no value."""

    def value(use: re.Match[str]) -> str:
        name = next(filter(None, use.groups()))
        if name not in values:
            raise ValueError(f"${name} is no variable of this dashboard: {expression}")
        return values[name]

    return _use.sub(value, expression)


def complaint(found: Sequence[Series], legend: str = "") -> str:
    """What is wrong with the answer to a query; "" if nothing is."""
    if not any(series.samples for series in found):
        return "no series"
    for series in found:
        for _, value in series.samples:
            if not math.isfinite(value):
                return f"{value} in {dict(series.labels)}"
        missing = [label for label in _legend_label.findall(legend) if label not in series.labels]
        if missing:
            return f"the legend {legend!r} names {missing[0]}, which {dict(series.labels)} has not"
    return ""


def _any_of(options: Sequence[str]) -> str:
    """A regular expression within a string of PromQL, where each backslash is two."""
    return "(" + "|".join(re.escape(each).replace("\\", "\\\\") for each in options) + ")"


def _dashboard(file: Path) -> Dashboard:
    try:
        found = json.loads(file.read_text("utf-8"))
        title = str(found["title"])
        queries = tuple(query for panel in _panels(found["panels"]) for query in _queries(title, panel))
        variables = tuple(_variables(found.get("templating", {}).get("list", [])))
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{file} is no dashboard of Grafana's: {type(error).__name__}: {error}") from None
    return Dashboard(title, queries, variables)


def _panels(found: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Rows have panels of their own while they are closed."""
    for panel in found:
        yield panel
        yield from _panels(panel.get("panels", ()))


def _queries(dashboard: str, panel: Mapping[str, Any]) -> Iterator[Query]:
    for target in panel.get("targets", ()):
        yield Query(
            dashboard, panel.get("title", ""), target["refId"], target["expr"], target.get("legendFormat") or ""
        )


def _variables(found: Sequence[Mapping[str, Any]]) -> Iterator[Variable]:
    for each in found:
        name, kind, several = str(each["name"]), each["type"], bool(each.get("multi") or each.get("includeAll"))
        if kind == "query":
            query = each["query"]["query"] if isinstance(each["query"], dict) else each["query"]
            asked = _values_of.match(query)
            if asked is None:
                raise ValueError(f"variable {name} asks {query!r}, not label_values(...)")
            selector, all_value = (asked[1] or "").strip(), each.get("allValue") or ""
            yield Variable(name, selector, asked[2], all_value=all_value, several=several)
        elif kind in ("custom", "interval", "constant"):
            fixed = tuple(value.strip() for value in str(each["query"]).split(","))
            yield Variable(name, fixed=fixed, several=several)
        elif kind not in _OTHER_KINDS:
            raise ValueError(f"variable {name} is of the unknown kind {kind}")
