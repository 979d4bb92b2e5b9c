"""What is measured, in locust's own statistics, and what the exit code is made of.

An answer is one request to locust: type `E2E`, its milliseconds those until the last byte. Its other measures are rows
of their own beside it: `TTFT`, `between chunks` (each gap), and two whose columns are no milliseconds: `tokens/s` and
`prompt tokens`. They are entered below the request event, so that the row "Aggregated", failure ratios and requests a
second are of answers alone; distributed workers report them like all others. Locust rounds what is above 100 to two
digits; `--records` has exact times.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from locust import events, stats

from loadtests.people.checks import Answer, WrongContent

stats.PERCENTILES_TO_CHART = [0.5, 0.95, 0.99]
stats.PERCENTILES_TO_STATISTICS = [0.5, 0.95, 0.99]

ANSWER = "E2E"
LEFT = "left"
_MS = 1000.0


def enter(environment: Any, answer: Answer, wrong: Exception | None, *, at: float, url: str, records: str = "") -> None:
    """One answer, right, wrong or none. ``at``: when it was asked for, seconds since the epoch."""
    name = f"{answer.kind}, {LEFT}" if answer.left else answer.kind
    environment.events.request.fire(
        request_type=ANSWER,
        name=name,
        response_time=answer.total * _MS,
        response_length=answer.size,
        response=None,
        context={},
        exception=wrong,
        start_time=at,
        url=url,
    )
    for kind, value in measures(answer):
        environment.stats.get(answer.kind, kind).log(value, 0)
    if records:
        line = json.dumps(record(answer, wrong, at)) + "\n"
        with Path(records).open("a", encoding="utf-8") as file:
            file.write(line)


def measures(answer: Answer) -> Iterator[tuple[str, float]]:
    """Of what came: also of an answer that was left, or broke later."""
    if answer.first is not None:
        yield "TTFT", answer.first * _MS
    for gap in answer.gaps:
        yield "between chunks", gap * _MS
    if answer.tokens_per_second is not None:
        yield "tokens/s", answer.tokens_per_second
    if answer.prompt_tokens:
        yield "prompt tokens", float(answer.prompt_tokens)


def record(answer: Answer, wrong: Exception | None, at: float) -> dict[str, Any]:
    """Seconds and tokens; no text."""
    return {
        "kind": answer.kind,
        "at": at,
        "late": answer.late,
        "ttft": answer.first,
        "gaps": [round(gap, 6) for gap in answer.gaps],
        "e2e": answer.total,
        "model": answer.model,
        "prompt_tokens": answer.prompt_tokens,
        "tokens": answer.tokens,
        "left": answer.left,
        "wrong": None if wrong is None else str(wrong),
    }


def verdict(environment: Any) -> tuple[int, str]:
    """The exit code and its reason: 1 for wrong content, too many failures, or nobody answered."""
    all_stats = environment.stats
    asked, failed = all_stats.total.num_requests, all_stats.total.num_failures
    wrong = sum(
        each.occurrences
        for each in all_stats.errors.values()
        if WrongContent.__name__ in stats.StatsError.parse_error(each.error)
    )
    allowed = environment.parsed_options.most_failed
    said = f"{asked:,} requests, {failed:,} of them failed, {wrong:,} of these by their content"
    if not asked:
        return 1, "no request ended: nothing was shown"
    if wrong:
        return 1, f"{said}. Wrong content is never allowed"
    if failed / asked > allowed:
        return 1, f"{said}. At most {allowed:.1%} may fail"
    return 0, said


@events.quitting.add_listener
def conclude(environment: Any, **_: Any) -> None:
    """A worker leaves the verdict to its master, which has everybody's statistics."""
    if type(environment.runner).__name__ != "WorkerRunner":
        environment.process_exit_code, said = verdict(environment)
        print(f"load: {said}")
