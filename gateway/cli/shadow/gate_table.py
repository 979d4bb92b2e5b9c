"""What `yardstick shadow gate` prints for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.shadow.gate.decision import Answer, BucketReport, Decision
from gateway.shadow.gate.policy import Policy
from gateway.shadow.gate.sequence import Bounds
from gateway.shadow.report.texts import NONE, points

_PLAIN_WIDTH = 150
_COLOURS = {Answer.HOLDS: "green", Answer.VIOLATED: "red", Answer.UNDECIDED: "yellow"}


def shown(decision: Decision, policy: Policy, behind: int) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PLAIN_WIDTH)
    for line in _lines(decision, policy):
        console.print(line)
    if behind:
        console.print(f"{behind:,} samples are not looked at yet: an earlier one waits for its outcome")


def _lines(decision: Decision, policy: Policy) -> Iterator[str | Table]:
    first, second = policy.first.model, policy.second.model
    asked = f"{first} at most {100 * policy.delta:g} points below {second} ({policy.evidence} pairs)"
    yield f"[bold]{_answer(decision.answer)}[/bold]: {escape(asked)}"
    yield _buckets(decision)
    for reason in decision.reasons:
        yield f"- {escape(reason)}"
    if decision.key:
        key = decision.key
        yield escape(
            f"Stream {decision.stream:,}: {key.suite}, form {key.form}, {first} {key.first.revision},"
            f" {second} {key.second.revision}, scored with {key.sandbox}"
        )
    yield f"Left out: {decision.outside:,} pairs beyond the last bucket" + "".join(
        f", {count:,} {escape(kind)} pairs" for kind, count in decision.other_kinds.items()
    )


def _answer(answer: Answer) -> str:
    return f"[{_COLOURS[answer]}]{answer.name.lower()}[/{_COLOURS[answer]}]"


def _buckets(decision: Decision) -> Table:
    table = Table("prompts", "", "pairs", "difference", "bounds", "dropped", "bounds with dropped", "still needed")
    for report in decision.buckets:
        table.add_row(
            report.name,
            _answer(report.answer),
            f"{report.n:,}",
            points(report.mean),
            _between(report.bounds),
            f"{report.dropped:,}",
            f"{points(report.if_dropped_fail.lower)} to {points(report.if_dropped_pass.upper)}"
            if report.dropped
            else NONE,
            _needed(report),
        )
    return table


def _between(bounds: Bounds) -> str:
    return f"{points(bounds.lower)} to {points(bounds.upper)}"


def _needed(report: BucketReport) -> str:
    return "over 50,000" if report.needed is None else f"about {report.needed:,}" if report.needed else "none"
