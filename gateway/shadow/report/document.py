"""A report as plain values: what `--json` prints, and all that the page is drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.report.five import five_tables
from gateway.shadow.report.meanings import MEANINGS
from gateway.shadow.report.pairs import PairRow
from gateway.shadow.report.rates import RunRow
from gateway.shadow.report.report import Asked, Counted, Report
from gateway.shadow.report.strata import Compared, Cut
from gateway.shadow.report.values import difference_value, estimate_value, side_value, weighted_value
from gateway.shadow.store import Counter

Document = dict[str, Any]

FORMAT = 1
"""Of the document; another number means that fields changed their meaning or went."""


def document(report: Report) -> Document:
    """Rates are shares, 0 to 1; times ISO 8601 in UTC; what can't be said is null: `missing` or `refused` says why."""
    return {
        "format": FORMAT,
        "asked": _asked(report.asked),
        "samples": {
            "count": report.samples,
            "first": _time(report.first_at),
            "last": _time(report.last_at),
            "asked_one_family_only": report.single,
            "runs_without_outcome_yet": report.open_runs,
            "suites_without_groups": list(report.ungrouped),
        },
        "counted": _counted(report.counted),
        "gaps": [asdict(gap) | {"since": _time(gap.since), "until": _time(gap.until)} for gap in report.counted.gaps],
        "checks": _checks(report),
        "pairs": [_pair(row) for row in report.pairs],
        "five": five_tables(report.pairs),
        "runs": [_run(row) for row in report.runs],
        "traffic": [
            _compared(of)
            | {"estimate": weighted_value(found.estimate), "uncovered": found.uncovered, "refused": found.refused}
            for of, found in report.traffic
        ],
        "meanings": MEANINGS,
    }


def _asked(asked: Asked) -> Document:
    return {
        "since": _time(asked.since),
        "until": _time(asked.until),
        "suite": asked.suite,
        "kind": asked.kind,
        "model": asked.model,
    }


def _counted(counted: Counted) -> Document:
    days = sorted({total.day for total in counted.totals})
    return {
        "first_day": days[0] if days else None,
        "last_day": days[-1] if days else None,
        "sampled": sum(_by(counted, Counter.SAMPLED, "model").values()),
        "matched": counted.matching.matched,
        "unmatched": counted.matching.unmatched,
        "match_rate": counted.matching.rate,
        "dropped": _by(counted, Counter.DROPPED, "reason"),
        "tokens_spent": _by(counted, Counter.TOKENS, "model"),
    }


def _by(counted: Counted, counter: Counter, name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for total in counted.totals:
        if total.counter is counter:
            key = getattr(total, name) or "not said"
            found[key] = found.get(key, 0) + total.value
    return found


def _checks(report: Report) -> Document:
    """Of verdicts themselves."""
    names = {True: "passed", False: "failed", None: "no_verdict"}
    return {
        "canonical": {name: report.controls[True, passed] for passed, name in names.items()},
        "known_bad": {name: report.controls[False, passed] for passed, name in names.items()},
        "scored_again": report.reruns,
        "flipped": report.flips,
    }


def _compared(of: Compared) -> Document:
    names = ("first", "second") if len(of.served) == 2 else ("served",)
    return asdict(of.stratum) | {name: asdict(served) for name, served in zip(names, of.served, strict=True)}


def _part(of: Compared, cut: Cut) -> Document:
    return _compared(of) | {"by": cut.by, "part": cut.name}


def _run(row: RunRow) -> Document:
    estimate = row.suite
    return _part(row.of, row.cut) | {
        "pass_at_1": estimate.value if estimate else None,
        "tasks": estimate.tasks if estimate else 0,
        "completions": estimate.completions if estimate else 0,
        "this_suite": estimate_value(row.suite),
        "tasks_like_these": estimate_value(row.population),
        "weighted": weighted_value(row.weighted),
        "outcomes": _outcomes(row.outcomes),
        "levels": dict(sorted(row.levels.items())),
        "passes_in_process": row.forgeable,
        "redacted_answers": row.redacted,
        "tokens_in": row.tokens_in,
        "tokens_out": row.tokens_out,
        "environments": list(row.environments),
    }


def _outcomes(outcomes: Mapping[Outcome, int]) -> dict[str, int]:
    return {outcome.value: outcomes.get(outcome, 0) for outcome in Outcome}


def _pair(row: PairRow) -> Document:
    return _part(row.of, row.cut) | {
        "pairs": row.pairs,
        "tasks": row.difference.tasks if row.difference else 0,
        "difference": difference_value(row.difference, row.suite),
        "weighted": weighted_value(row.weighted),
        "first_pass_at_1": side_value(row.first),
        "second_pass_at_1": side_value(row.second),
        "both": row.both,
        "neither": row.neither,
        "first_only": row.first_only,
        "second_only": row.second_only,
        "dropped": row.dropped,
        "never_pairs": row.never_pairs,
        "if_dropped_fail": estimate_value(row.if_dropped_fail),
        "if_dropped_pass": estimate_value(row.if_dropped_pass),
    }


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def whole(rows: Iterable[Document]) -> list[Document]:
    """Those of whole strata."""
    return [row for row in rows if row["by"] == "all"]
