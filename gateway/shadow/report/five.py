"""The table of the five categories: what was measured, beside what others claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from gateway.shadow.gate.draws import Served
from gateway.shadow.report.pairs import PairRow
from gateway.shadow.report.references import CLAIMED, PUBLISHED, REFERENCES, Reference
from gateway.shadow.report.report import suite_name
from gateway.shadow.report.strata import By, Compared
from gateway.shadow.report.values import difference_value, side_value
from gateway.shadow.suites.load import DEFAULT

Table = dict[str, Any]


def five_tables(pairs: Iterable[PairRow]) -> list[Table]:
    """One for each stratum of the suite five, of pairs; categories first, then all of it.

    Claims are of other suites, and many of other models: they are labelled, and never mixed with what was measured. Of
    a claim by category the family has to be the measured one, of a published figure the model.
    """
    strata: dict[Compared, list[PairRow]] = {}
    for row in pairs:
        if suite_name(row.of.stratum.suite) == DEFAULT and row.cut.by is not By.LENGTH:
            strata.setdefault(row.of, []).append(row)
    return [_table(of, rows) for of, rows in strata.items()]


def references_of(tables: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """All that the tables refer to, once each."""
    return list({repr(found): found for table in tables for found in table["references"]}.values())


def _table(of: Compared, rows: list[PairRow]) -> Table:
    first, second = of.served[0], of.served[-1]
    ordered = sorted(rows, key=lambda row: (row.cut.by is By.ALL, row.cut.name))
    references = [*_references(first), *_references(second)]
    return {
        **asdict(of.stratum),
        "first": asdict(first),
        "second": asdict(second),
        "rows": [_row(row, (first, second)) for row in ordered],
        "references": [_reference(reference) for reference in references],
    }


def _row(row: PairRow, served: tuple[Served, Served]) -> Table:
    return {
        "category": row.cut.name,
        "tasks": row.difference.tasks if row.difference else 0,
        "pairs": row.pairs,
        "measured": {"first": side_value(row.first), "second": side_value(row.second)},
        "difference": difference_value(row.difference, row.suite),
        CLAIMED: {side: _claim(each, row) for side, each in zip(("first", "second"), served, strict=True)},
        PUBLISHED: {side: _published(each, row) for side, each in zip(("first", "second"), served, strict=True)},
    }


def _references(served: Served) -> Iterator[Reference]:
    for reference in REFERENCES:
        if reference.family == served.family and (reference.label == CLAIMED or _is_of(reference, served)):
            yield reference


def _is_of(reference: Reference, served: Served) -> bool:
    return reference.model.lower() == served.model.lower()


def _claim(served: Served, row: PairRow) -> float | None:
    for reference in _references(served):
        if reference.label == CLAIMED:
            return reference.overall if row.cut.by is By.ALL else reference.by_category.get(row.cut.name)
    return None


def _published(served: Served, row: PairRow) -> dict[str, float]:
    """By what the figure is of; of whole benchmarks only."""
    found = (reference for reference in _references(served) if reference.label == PUBLISHED)
    return {reference.of: reference.overall for reference in found} if row.cut.by is By.ALL else {}


def _reference(reference: Reference) -> dict[str, str]:
    return {name: getattr(reference, name) for name in ("label", "model", "of", "source")}
