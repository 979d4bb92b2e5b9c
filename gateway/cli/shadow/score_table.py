"""What `yardstick shadow score` prints for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.shadow.score.results import Group, Results
from gateway.shadow.score.verdict import NOT_RUN, Says
from gateway.shadow.statistics.intervals import Estimate
from gateway.shadow.suites.task import Suite, SuiteKind

_PLAIN_WIDTH = 150
_MOST_ERRORS = 10


@dataclass(frozen=True, slots=True)
class Report:
    """`environment` is its name; `tried`: the number of tasks that have samples."""

    suite: Suite
    results: Results
    environment: str
    tried: int


def shown(report: Report) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PLAIN_WIDTH)
    for line in _lines(report):
        console.print(line)


def _lines(report: Report) -> Iterator[str | Table]:
    suite, results = report.suite, report.results
    estimates = results.estimates()
    yield f"{escape(suite.name)} (suite {suite.digest}), scoring environment: {escape(report.environment)}"
    if left := len(suite.tasks) - report.tried:
        yield f"{left:,} of the suite's {len(suite.tasks):,} tasks have no samples and are left out"
    if estimates:
        yield _rates(estimates, results.pass_at())
        groups = results.groups()
        if suite.grouping and groups:
            yield _by_group(suite, groups)
    yield "Verdicts: " + ", ".join(f"{results.says[says]:,} {says}" for says in Says) + " (errors are in no rate)"
    levels = sorted(results.levels.items(), key=lambda pair: (pair[0] == NOT_RUN, pair[0]))
    yield "Checked: " + ", ".join(f"{n:,} {'not run' if level == NOT_RUN else level}" for level, n in levels)
    if any(level.endswith("in-process") for level in results.levels):
        yield "  A pass in-process can be forged: those tests reach into the program, so they ran beside it."
    yield from _errors(results)


def _rates(estimates: tuple[Estimate, Estimate], pass_at: dict[int, float]) -> Table:
    suite, population = estimates
    table = Table("", "rate", "95 % interval", "tasks", "completions", title="", title_justify="left")
    for name, estimate in (("pass@1, this suite", suite), ("pass@1, tasks like these", population)):
        table.add_row(name, *_cells(estimate))
    for k, rate in pass_at.items():
        if k > 1:
            table.add_row(f"pass@{k}", f"{rate:.1%}", "", f"{suite.tasks:,}", f"{suite.completions:,}")
    return table


def _by_group(suite: Suite, groups: list[Group]) -> Table:
    """BigCodeBench's own analysis counts a task once for each of its libraries: that figure stands beside ours."""
    official = suite.kind is SuiteKind.BIGCODEBENCH
    table = Table(suite.grouping, "pass@1", "95 % interval (this suite)", "tasks", "completions")
    if official:
        table.add_column("counted by library")
    for group in groups:
        extra = (f"{group.by_library:.1%}",) if official else ()
        table.add_row(escape(group.name), *_cells(group.estimate), *extra)
    return table


def _cells(estimate: Estimate) -> tuple[str, str, str, str]:
    interval = estimate.interval
    between = f"{interval.low:.1%} to {interval.high:.1%}" if interval else estimate.missing
    return f"{estimate.value:.1%}", between, f"{estimate.tasks:,}", f"{estimate.completions:,}"


def _errors(results: Results) -> Iterator[str]:
    causes = results.errors.most_common(_MOST_ERRORS)
    for cause, count in causes:
        yield f"  error x {count:,}: {escape(cause)} (such as {escape(results.example[cause])})"
    if more := len(results.errors) - len(causes):
        yield f"  and {more:,} more causes: --json --reasons lists all"
