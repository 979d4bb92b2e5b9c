"""The report as one HTML file that needs nothing else: no network, no scripts, light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gateway.shadow.report.document import Document
from gateway.shadow.report.five import references_of
from gateway.shadow.report.plots import differences_plot, rates_plot
from gateway.shadow.report.references import CLAIMED, PUBLISHED
from gateway.shadow.report.texts import (
    NONE,
    between,
    headline,
    percent,
    points,
    population_points,
    served_name,
    stratum_name,
    suite_points,
)

Row = Mapping[str, Any]


def page(document: Document) -> str:
    """Every figure is a `data` element (or has `data-value`) whose value is the document's own."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _figure(percent),
        "points": _figure(points),
        "count": _figure(lambda count: f"{count:,}"),
        "between": between,
        "suite_points": suite_points,
        "population_points": population_points,
        "served": served_name,
        "stratum": stratum_name,
        "headline": headline,
        "moment": lambda at: at[:16].replace("T", " "),
        "words": lambda name: str(name).replace("_", " "),
    }
    template = environment.get_template("page.html.j2")
    return template.render(
        report=document,
        comparisons=[_comparison(rows) for rows in _strata(document["pairs"], "first", "second")],
        families=list(_strata(document["runs"], "served")),
        references=references_of(document["five"]),
        claimed=CLAIMED,
        published=PUBLISHED,
        nothing=NONE,
        happened=_happened,
    )


def _comparison(rows: list[Row]) -> Document:
    """The rows of one pair of families in one stratum, the whole first, with its plots."""
    first, second = rows[0]["first"]["model"], rows[0]["second"]["model"]
    parts = {by: [row for row in rows if row["by"] == by] for by in ("length", "group")}
    return {
        "whole": rows[0],
        "rows": rows,
        "plots": [
            (title, rates_plot(parts[by], first, second), differences_plot(parts[by], first, second))
            for by, title in (("length", "By prompt length, in tokens"), ("group", "By category or domain"))
            if parts[by]
        ],
    }


_UNWANTED = ("timeout", "length", "error", "shed", "cancelled", "beyond window")


def _happened(rows: Iterable[Row]) -> list[str]:
    """The outcomes other than pass and fail that there were: columns of zeros hide what matters."""
    return [name for name in _UNWANTED if any(row["outcomes"][name] for row in rows)]


def _strata(rows: Iterable[Row], *sides: str) -> Iterable[list[Row]]:
    for _, found in groupby(rows, lambda row: stratum_name(row) + repr([row[side] for side in sides])):
        yield list(found)


def _figure(text: Callable[[Any], str]) -> Callable[[Any], Markup]:
    """A number with its exact value. Of an estimate, its value."""

    def shown(found: Any) -> Markup:
        value = found["value"] if isinstance(found, Mapping) else found
        if value is None:
            return Markup(NONE)
        return Markup('<data value="{}">{}</data>').format(repr(value), text(value))

    return shown
