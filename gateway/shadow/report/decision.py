"""The gate's decision as plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gateway.shadow.gate.decision import Answer, BucketReport, Decision
from gateway.shadow.gate.policy import Policy
from gateway.shadow.gate.sequence import Bounds


def decision_document(decision: Decision, policy: Policy) -> dict[str, Any]:
    """Differences are first minus second in pass@1; `needed` is null where over 50,000 pairs more are expected."""
    overall = decision.overall
    return {
        "answer": decision.answer.name.lower(),
        "exit_code": decision.exit_code,
        "reasons": list(decision.reasons),
        "pairs_still_needed": _needed(decision),
        "buckets": [_bucket(report) for report in decision.buckets],
        "overall": {"mean": overall[0], **_bounds(overall[1])} if overall else None,
        "stream": {
            "number": decision.stream,
            "key": asdict(decision.key) if decision.key else None,
            "pairs_of_earlier": decision.pairs_of_earlier,
            "outside_buckets": decision.outside,
            "other_kinds": dict(decision.other_kinds),
        },
        "controls": dict(decision.controls),
        "failing_controls": dict(decision.failing_controls),
        "scored_again": decision.reruns,
        "flipped": decision.flips,
        "policy": policy.model_dump(mode="json"),
    }


def _needed(decision: Decision) -> int | None:
    """Of all buckets together; 0 where the answer is violated, which more pairs can't change."""
    if decision.answer is Answer.VIOLATED:
        return 0
    total = 0
    for report in decision.buckets:
        if report.needed is None:
            return None
        total += report.needed
    return total


def _bucket(report: BucketReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "weight": report.weight,
        "answer": report.answer.name.lower(),
        "pairs": report.n,
        "mean": report.mean,
        "bounds": _bounds(report.bounds),
        "joint_bounds": _bounds(report.joint),
        "first_only": report.first_only,
        "second_only": report.second_only,
        "dropped": report.dropped,
        "never_pairs": report.never_pairs,
        "if_dropped_fail": _bounds(report.if_dropped_fail),
        "if_dropped_pass": _bounds(report.if_dropped_pass),
        "needed": report.needed,
    }


def _bounds(bounds: Bounds) -> dict[str, float]:
    return {"low": bounds.lower, "high": bounds.upper}
