"""Estimates as plain values."""

from __future__ import annotations

from typing import Any

from gateway.shadow.report.pairs import SideRate
from gateway.shadow.statistics.intervals import Estimate, Interval
from gateway.shadow.statistics.weighted import Weighted

Value = dict[str, Any]


def estimate_value(estimate: Estimate | None) -> Value | None:
    if estimate is None:
        return None
    return {"value": estimate.value, **_ends(estimate.interval), "missing": estimate.missing}


def difference_value(population: Estimate | None, suite: Estimate | None) -> Value | None:
    """Of pairs: one value, with an interval for each of the two populations."""
    return None if suite is None else _both(suite, population)


def side_value(side: SideRate | None) -> Value | None:
    return None if side is None else _both(side.suite, side.population)


def _both(suite: Estimate, population: Estimate | None) -> Value:
    return {
        "value": suite.value,
        "this_suite": estimate_value(suite),
        "tasks_like_these": estimate_value(population),
    }


def weighted_value(weighted: Weighted | None) -> Value | None:
    if weighted is None:
        return None
    return {
        "value": weighted.value,
        **_ends(weighted.interval),
        "missing": weighted.missing,
        "stands_for": weighted.stands_for,
        "effective_draws": weighted.effective,
        "effective_tasks": weighted.effective_tasks,
    }


def _ends(interval: Interval | None) -> Value:
    return {"low": interval.low if interval else None, "high": interval.high if interval else None}
