"""Options of a simulated model server that say what it answers, and what it breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from gateway.cli.options import EXISTING_FILE

_OPTIONS = (
    click.option("--seed", type=int, help="Of everything that is drawn: pass rates, answers, faults."),
    click.option(
        "--tasks", "task_file", type=EXISTING_FILE, help="Tasks that it knows: JSONL in BigCodeBench's schema."
    ),
    click.option(
        "--pass-rate",
        "pass_rates",
        multiple=True,
        metavar="[CATEGORY=]M",
        callback=lambda context, option, values: [_assignment(value, number_first=True) for value in values],
        help="Mean share of draws in which a task is solved, of all tasks or of a category.",
    ),
    click.option(
        "--difficulty-concentration",
        type=click.FloatRange(0, min_open=True),
        metavar="K",
        help="How alike tasks are: each has a pass rate from Beta(M K, (1 - M) K).",
    ),
    click.option(
        "--length-factor",
        "length_factors",
        multiple=True,
        metavar="TOKENS=SHARE",
        callback=lambda context, option, values: [_factor(value) for value in values],
        help="What is left of every pass rate at a prompt length; between two by the length's logarithm. Repeat it.",
    ),
    click.option(
        "--fault",
        "faults",
        multiple=True,
        metavar="KIND[=RATE]",
        callback=lambda context, option, values: [_assignment(value, number_first=False) for value in values],
        help="What goes wrong, in which share of requests; see GET and POST /sim/faults.",
    ),
    click.option("--fault-header", is_flag=True, default=None, help="A request may ask for one: x-simulate-fault."),
)


def answers_and_faults(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options, whose values `planted` turns into settings."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def planted(given: dict[str, Any]) -> dict[str, Any]:
    """Takes the options of `answers_and_faults` out of ``given`` and returns them as fields of SimulatedSettings."""
    file, rates = given.pop("task_file"), given.pop("pass_rates")
    concentration, faults = given.pop("difficulty_concentration"), given.pop("faults")
    factors = given.pop("length_factors")
    settings: dict[str, Any] = {}
    if faults:
        settings["faults"] = [{"kind": kind} if rate is None else {"kind": kind, "rate": rate} for kind, rate in faults]
    if file is None:
        if rates or factors or concentration is not None:
            names = "--pass-rate, --difficulty-concentration and --length-factor"
            raise click.UsageError(f"{names} are of tasks: name a file with --tasks")
        return settings
    tasks: dict[str, Any] = {"file": file, "category_pass_rates": {name: rate for name, rate in rates if name}}
    for rate in [rate for name, rate in rates if not name]:
        tasks["pass_rate"] = rate
    if concentration is not None:
        tasks["concentration"] = concentration
    if factors:
        tasks["length_factors"] = dict(factors)
    return {**settings, "tasks": tasks}


def _factor(value: str) -> tuple[int, float]:
    tokens, share = _assignment(value, number_first=True)
    if not tokens.isdecimal() or not int(tokens) or share is None:
        raise click.BadParameter(f"{value!r} is not TOKENS=SHARE, as 8192=0.5")
    return int(tokens), share


def _assignment(value: str, *, number_first: bool) -> tuple[str, float | None]:
    """``NAME=NUMBER``; or one of them alone: a number where ``number_first``, else a name."""
    name, equals, number = value.rpartition("=")
    if not equals and not number_first:
        return value, None
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise click.BadParameter(f"{number!r} is no number from 0 to 1")
    return name, share
