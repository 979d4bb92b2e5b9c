"""What `yardstick shadow report` prints for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.shadow.report.document import Document, whole
from gateway.shadow.report.five import references_of
from gateway.shadow.report.rates import IN_PROCESS
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

_PLAIN_WIDTH = 150
_WIDEST = {"measured": 12, "of these tasks, 95 %": 11, CLAIMED: 11, PUBLISHED: 13}
"""Of the columns of the five categories, so that no word is cut where there is room for `_PLAIN_WIDTH`."""
_NO_VERDICT = ("error", "shed", "cancelled", "beyond window")

Row = Mapping[str, Any]


def shown(document: Document) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PLAIN_WIDTH)
    for line in _lines(document):
        console.print(line)


def _lines(document: Document) -> Iterator[str | Table]:
    yield from _collected(document)
    for name, rows in _strata(document["pairs"], "first", "second"):
        yield f"\n[bold]{escape(headline(rows[0]))}[/bold]"
        yield _pairs(name, rows)
    for table in document["five"]:
        yield ""
        yield _five(table)
    yield from _claims(document["five"])
    if runs := whole(document["runs"]):
        yield ""
        yield _runs(runs)
        yield "  A pass in-process can be forged: those tests reach into the program, so they ran beside it."
    yield from _traffic(document)


def _claims(tables: Iterable[Row]) -> Iterator[str]:
    """Whose the figures are that were not measured, once each."""
    for reference in references_of(tables):
        text = f"{reference['label']}: {reference['model']} on {reference['of']} ({reference['source']})"
        yield f"  {escape(text)}"


def _collected(document: Document) -> Iterator[str]:
    samples, counted, checks = document["samples"], document["counted"], document["checks"]
    if samples["count"]:
        yield f"{samples['count']:,} samples, {samples['first']} to {samples['last']}"
    else:
        yield "No samples: nothing was evaluated in that time, or with these filters."
    yield f"{samples['asked_one_family_only']:,} were asked of one family only, so they are in no comparison"
    if waiting := samples["runs_without_outcome_yet"]:
        yield f"{waiting:,} runs have no outcome yet"
    yield (
        f"Match rate {percent(counted['match_rate'])}: {counted['matched']:,} matched, {counted['unmatched']:,} not;"
        f" {_counts(counted['dropped'])} dropped; tokens spent: {_counts(counted['tokens_spent'])}"
    )
    for name, words in (("canonical", "canonical"), ("known_bad", "known-bad")):
        yield f"Controls, {words}: " + ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in checks[name].items())
    yield f"Scored again: {checks['scored_again']:,}, of which {checks['flipped']:,} got another verdict"
    for gap in document["gaps"]:
        until = f"until {gap['until']}" if gap["until"] else "and still"
        what = escape(f"{gap['why']} ({gap['source']})")
        yield f"[red]Evidence is missing since {gap['since']} {until}: {what}[/red]"
    for suite in samples["suites_without_groups"]:
        yield f"{escape(suite)}: no figures by category or domain; --tasks FILE gives its tasks"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {escape(name)}" for name, count in counts.items()) or "0"


def _strata(rows: Iterable[Row], *sides: str) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each, the whole first."""

    def name(row: Row) -> str:
        return f"{stratum_name(row)}: " + " minus ".join(served_name(row[side]) for side in sides)

    def key(row: Row) -> str:
        return name(row) + repr([row[side] for side in sides])

    for _, found in groupby(rows, key):
        mine = list(found)
        yield name(mine[0]), mine


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=escape(title), title_justify="left")


def _pairs(name: str, rows: list[Row]) -> Table:
    table = _table(name, "", "first", "second", "difference", "this suite", "tasks like these", "weighted")
    for column in ("pairs", "tasks", "dropped", "with dropped"):
        table.add_column(column)
    for row in rows:
        worst, best = row["if_dropped_fail"], row["if_dropped_pass"]
        table.add_row(
            escape(row["part"]),
            percent(_value(row["first_pass_at_1"])),
            percent(_value(row["second_pass_at_1"])),
            points(_value(row["difference"])),
            suite_points(row["difference"]),
            population_points(row["difference"]),
            points(_value(row["weighted"])),
            f"{row['pairs']:,}",
            f"{row['tasks']:,}",
            f"{row['dropped']:,}",
            f"{points(_value(worst))} to {points(_value(best))}" if row["dropped"] else NONE,
        )
    return table


def _five(found: Row) -> Table:
    sides = ("first", "second")
    table = _table(
        f"Five categories, {stratum_name(found)}: {served_name(found['first'])} / {served_name(found['second'])}",
        "category",
        *(f"measured: {escape(found[side]['model'])}" for side in sides),
        "difference",
        "of these tasks, 95 %",
        "tasks",
        "pairs",
        *(f"{label}: {escape(found[side]['family'])}" for label in (CLAIMED, PUBLISHED) for side in sides),
    )
    for column in table.columns:
        column.overflow = "fold"
        column.max_width = _WIDEST.get(str(column.header).partition(":")[0])
    for row in found["rows"]:
        table.add_row(
            escape(row["category"]),
            *(percent(_value(row["measured"][side])) for side in sides),
            points(_value(row["difference"])),
            suite_points(row["difference"]),
            f"{row['tasks']:,}",
            f"{row['pairs']:,}",
            *(percent(row[CLAIMED][side]) for side in sides),
            *(_published(row[PUBLISHED][side]) for side in sides),
        )
    return table


def _published(figures: Mapping[str, float]) -> str:
    return "\n".join(f"{percent(share)} on {escape(of)}" for of, share in figures.items()) or NONE


def _runs(rows: Iterable[Row]) -> Table:
    """Of whole strata; their parts are in the JSON and on the page."""
    table = _table("Each family by itself: not for comparing", "evidence")
    table.add_column("model", overflow="fold")
    for column in ("pass@1", "this suite", "tasks like these", "weighted", "tasks", "n", "timeout", "length"):
        table.add_column(column)
    table.add_column("no verdict")
    table.add_column("in-process")
    for row in rows:
        outcomes = row["outcomes"]
        table.add_row(
            escape(stratum_name(row)),
            escape(served_name(row["served"])),
            percent(row["pass_at_1"]),
            escape(between(row["this_suite"])),
            escape(between(row["tasks_like_these"])),
            percent(_value(row["weighted"])),
            f"{row['tasks']:,}",
            f"{row['completions']:,}",
            f"{outcomes['timeout']:,}",
            f"{outcomes['length']:,}",
            ", ".join(f"{outcomes[name]:,} {name}" for name in _NO_VERDICT if outcomes[name]) or NONE,
            _in_process(row),
        )
    return table


def _in_process(row: Row) -> str:
    """How many verdicts were come by in the candidate's own process, and how many of them are passes."""
    count = sum(number for level, number in row["levels"].items() if level.endswith(IN_PROCESS))
    return f"{count:,} of {sum(row['levels'].values()):,}, {row['passes_in_process']:,} passes"


def _traffic(document: Document) -> Iterator[str]:
    for row in document["traffic"]:
        name = f"{stratum_name(row)}: {served_name(row['served'])}"
        found = row["estimate"]
        if found is None:
            yield f"\nTraffic-weighted pass@1 refused for {escape(name)}: {escape(row['refused'])}"
        else:
            weighs = f"{found['effective_draws']:,.0f} equal draws and {found['effective_tasks']:,.0f} equal tasks"
            yield (
                f"\nTraffic-weighted pass@1 {percent(found['value'])} ({between(found)}), {escape(name)}: weighs as"
                f" {weighs}; {percent(row['uncovered'])} of the live prompts are left out"
            )
    if document["traffic"]:
        yield escape(document["meanings"]["traffic-weighted"])


def _value(value: Row | None) -> float | None:
    return None if value is None else value["value"]
