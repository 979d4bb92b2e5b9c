"""What `yardstick shadow threshold` prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.shadow.report.differences import Differences
from gateway.shadow.report.texts import percent, points
from gateway.shadow.threshold.inputs import Constraints
from gateway.shadow.threshold.recommendation import Candidate, Recommendation

_PLAIN_WIDTH = 150


@dataclass(frozen=True, slots=True)
class Answer:
    """`configured`: the threshold that the configuration has now. `assumed`: in words."""

    recommendation: Recommendation
    constraints: Constraints
    evidence: Differences
    kind: str
    configured: int
    assumed: tuple[str, ...]


def document(answer: Answer) -> dict[str, Any]:
    """For JSON. Shares, losses and differences of pass@1 are within [-1, 1], times in seconds."""
    found = answer.recommendation
    rows = [
        asdict(row) | {"load": asdict(answer.constraints.load(row.threshold)), "feasible": row.feasible}
        for row in found.candidates
    ]
    left_out = ("pairs", "dropped", "never_pairs", "open", "older")
    return asdict(found) | {
        "candidates": rows,
        "configured_threshold": answer.configured,
        "evidence": {"kind": answer.kind} | {name: getattr(answer.evidence, name) for name in left_out},
        "assumed": list(answer.assumed),
    }


def shown(answer: Answer) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PLAIN_WIDTH)
    for line in _lines(answer):
        console.print(line)


def _lines(answer: Answer) -> Iterator[str | Table]:
    found, evidence = answer.recommendation, answer.evidence
    first, *others = found.reasons
    yield f"[bold]{found.status}[/bold]: {escape(first.removeprefix(f'{found.status}: '))}"
    yield _candidates(answer)
    yield "Losses in points of pass@1 on the prompts up to T (negative: gains); waits and use: short / long pool"
    for reason in others:
        yield f"- {escape(reason)}"
    if found.binding:
        yield f"- cheaper thresholds are kept out by: {', '.join(found.binding)}"
    yield f"The configuration has {answer.configured:,}; nothing was changed."
    yield (
        f"Evidence: {evidence.pairs:,} {answer.kind} pairs. Left out: {evidence.dropped:,} without a verdict,"
        f" {evidence.never_pairs:,} cancelled or beyond a window, {evidence.open:,} still open,"
        f" {evidence.older:,} served or scored in another way"
    )
    for assumed in answer.assumed:
        yield f"Assumed: {escape(assumed)}"


def _candidates(answer: Answer) -> Table:
    table = Table("T", "prompts", "GPU-s", "loss", "at most", "TTFT p99", "ITL p99", "utilisation", "fails")
    for row in answer.recommendation.candidates:
        table.add_row(*_cells(row, answer))
    return table


def _cells(row: Candidate, answer: Answer) -> Iterator[str]:
    load = answer.constraints.load(row.threshold)
    yield f"{row.threshold:,}"
    yield percent(row.share)
    yield f"{row.cost:.3g}"
    yield points(row.loss)
    yield points(row.upper)
    yield f"{load.short.ttft_p99:.2f} / {load.long.ttft_p99:.2f} s"
    yield f"{1000 * load.short.itl_p99:.0f} / {1000 * load.long.itl_p99:.0f} ms"
    yield f"{load.short.utilisation:.0%} / {load.long.utilisation:.0%}"
    yield ", ".join(row.fails) or ("chosen" if row.threshold == answer.recommendation.threshold else "")
