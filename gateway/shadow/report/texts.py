"""Figures of a document as text, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

NONE = "–"
MINUS = "\N{MINUS SIGN}"

Value = Mapping[str, Any]


def percent(share: float | None) -> str:
    return NONE if share is None else f"{share:.1%}"


def points(difference: float | None) -> str:
    """Of pass@1, with a sign: 0.05 is +5.0."""
    if difference is None:
        return NONE
    rounded = round(100 * difference, 1) + 0.0  # no "-0.0"
    return f"{rounded:+.1f}".replace("-", MINUS) if rounded else "0.0"


def between(value: Value | None) -> str:
    """An interval of a rate, or in two words why there is none."""
    return _between(value, percent)


def between_points(value: Value | None) -> str:
    return _between(value, points)


def suite_points(found: Value | None) -> str:
    """The interval of a difference, for these tasks."""
    return between_points(found and found["this_suite"])


def population_points(found: Value | None) -> str:
    """The interval of a difference, for tasks like these."""
    return between_points(found and found["tasks_like_these"])


def _between(value: Value | None, text: Callable[[float], str]) -> str:
    if value is None:
        return NONE
    if value["low"] is None:
        return str(value["missing"]).partition(":")[0]
    return f"{text(value['low'])} to {text(value['high'])}"


def served_name(served: Value) -> str:
    return f"{served['model']} ({served['revision']})" if served["revision"] else str(served["model"])


def stratum_name(row: Value) -> str:
    """All that it is not pooled over."""
    kind = row["kind"] if row["kind"] == row["sample_kind"] else f"{row['kind']} of {row['sample_kind']}"
    words = [kind, row["suite"], f"form {row['form']}", row["sampling"], "inflated" if row["inflated"] else ""]
    return ", ".join(word for word in words if word)


def widest(found: Value) -> Value:
    """The interval for tasks like these, or else of this suite."""
    population: Value = found["tasks_like_these"]
    return population if population["low"] is not None else found["this_suite"]


def headline(row: Value) -> str:
    """One sentence on a row of pairs."""
    first, second, difference = row["first"]["model"], row["second"]["model"], row["difference"]
    if difference is None:
        return f"No pair of {first} and {second} has two verdicts yet."
    interval, rests = widest(difference), f"{row['pairs']:,} pairs on {row['tasks']:,} tasks"
    value, low, high = difference["value"], interval["low"], interval["high"]
    if low is None:
        why = interval["missing"].partition(": ")[2]
        return f"Too few pairs of {first} and {second} to tell ({rests}: {why})."
    where = "on the same prompts" if interval is difference["tasks_like_these"] else "on these very tasks"
    told = f"{points(value)} points (95 %: {points(low)} to {points(high)}; {rests})"
    if low > 0:
        return f"{first} is better than {second} {where}: {told}."
    if high < 0:
        return f"{first} is worse than {second} {where}: {told}."
    return f"Neither {first} nor {second} is shown to be better {where}: {told}."
