"""Differences of tasks for the threshold, out of the store."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import fsum

from gateway.shadow.gate.draws import Control, Kind, Outcome, Pair, StreamKey
from gateway.shadow.report.report import suite_name
from gateway.shadow.store import Drawn, Evidence, Wanted
from gateway.shadow.threshold.inputs import TaskDifference


class Unclear(Exception):
    """There are pairs of several suites or forms, and none is named."""


@dataclass(frozen=True, slots=True)
class Differences:
    """Of one kind, suite, form and way of serving and scoring, the latest. Short minus long in pass@1.

    `pairs`: with both verdicts. Left out: `dropped` (an error, or shed), `never_pairs` (cancelled, or beyond a window),
    `open` (an outcome is still to come), `older` (served or scored in another way). `failing_controls`: known verdicts
    that scoring got wrong. `output_tokens`: mean of both families' answers, None without any.
    """

    tasks: tuple[TaskDifference, ...]
    stream: StreamKey | None
    pairs: int = 0
    dropped: int = 0
    never_pairs: int = 0
    open: int = 0
    older: int = 0
    failing_controls: int = 0
    output_tokens: float | None = None


def differences(
    evidence: Evidence, short: str, long: str, kind: Kind, suite: str | None = None, form: str | None = None
) -> Differences:
    """Whichever side of its pairs the short model is. Raises Unclear and StoreUnavailable."""
    found = [
        (drawn, sign)
        for models, sign in (((short, long), 1), ((long, short), -1))
        for drawn in evidence.samples(Wanted(models=models, form=form))
        if drawn.sample.kind is kind or drawn.sample.control is not None
        if suite in (None, drawn.sample.suite, suite_name(drawn.sample.suite))
    ]
    compared = [drawn.sample for drawn, _ in found if drawn.sample.control is None]
    _check_one("suite", {suite_name(sample.suite) for sample in compared})
    _check_one("form", {sample.form for sample in compared})
    return _of_latest(sorted(found, key=lambda item: item[0].sample.at))


def _check_one(what: str, names: set[str]) -> None:
    if len(names) > 1:
        raise Unclear(f"there are pairs of several {what}s: name one with --{what} ({', '.join(sorted(names))})")


def _of_latest(found: list[tuple[Drawn, int]]) -> Differences:
    events = [
        (event, drawn, sign)
        for drawn, sign in found
        if not drawn.open
        for event in drawn.events("")
        if isinstance(event, Pair | Control)
    ]
    paired = [(event, drawn, sign) for event, drawn, sign in events if isinstance(event, Pair)]
    scored = [event.key for event, _, _ in paired if event.key.sandbox]  # a pair without verdict says no sandbox
    stream = scored[-1] if scored else None
    mine = [item for item in paired if item[0].key == stream]
    rated = [item for item in mine if item[0].difference is not None]
    never = sum(event.never_a_pair for event, _, _ in paired)
    dropped = sum(event.difference is None and not event.never_a_pair for event, _, _ in paired)
    return Differences(
        tasks=_by_task(rated),
        stream=stream,
        pairs=len(rated),
        dropped=dropped,
        never_pairs=never,
        open=sum(drawn.open for drawn, _ in found if drawn.sample.control is None),
        older=len(paired) - len(rated) - never - dropped,
        failing_controls=sum(
            event.failing for event, _, _ in events if isinstance(event, Control) and event.key == stream
        ),
        output_tokens=_output_tokens([drawn for _, drawn, _ in rated]),
    )


def _by_task(rated: list[tuple[Pair, Drawn, int]]) -> tuple[TaskDifference, ...]:
    values = defaultdict[tuple[str, int], list[int]](list)
    for event, drawn, sign in rated:
        values[drawn.sample.task_id, event.prompt_tokens].append(sign * (event.difference or 0))
    return tuple(TaskDifference(task, tokens, fsum(of) / len(of)) for (task, tokens), of in values.items())


def _output_tokens(drawn: list[Drawn]) -> float | None:
    answers = [scored.run.tokens_out for each in drawn for scored in each.runs if scored.outcome is not Outcome.ERROR]
    return fsum(answers) / len(answers) if answers else None
