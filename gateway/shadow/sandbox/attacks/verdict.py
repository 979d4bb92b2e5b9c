"""Whether an attack was stopped, from what the host saw of it and from what it says of itself."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.shadow.sandbox.attacks import Attack
from gateway.shadow.sandbox.job import Kind, Outcome

_MOST_REPORTED = 1_100_000  # characters: what a job may report, and what JSON adds here


@dataclass(frozen=True, slots=True)
class Row:
    """One attack. ``how``: what stopped it, or what it got; or why nothing can be said, which counts as not stopped."""

    attack: str
    stopped: bool
    how: str


def judge(attack: Attack, outcomes: Sequence[Outcome], evidence: Sequence[str], secrets: Mapping[str, str]) -> Row:
    """``outcomes``: of its job, or of both; ``evidence``: what was reached; ``secrets``: what none may name."""
    got = [*evidence, *(found for outcome in outcomes for found in _got(attack, outcome, secrets))]
    if got:
        return Row(attack.name, False, "; ".join(dict.fromkeys(got))[:2000])
    untried = [reason for outcome in outcomes for reason in _untried(attack, outcome)]
    if untried:
        return Row(attack.name, False, f"not proven: {'; '.join(untried)}"[:2000])
    return Row(attack.name, True, _refusals(attack, outcomes))


def _got(attack: Attack, outcome: Outcome, secrets: Mapping[str, str]) -> Iterator[str]:
    if outcome.end == "lost":
        yield "the fork server was lost"
    if attack.kind is Kind.PLAIN:
        text = json.dumps(outcome.lines)
        if len(text) > _MOST_REPORTED:
            yield f"{len(text):,} characters of report were kept"
        yield from (f"read a secret of the host ({place})" for secret, place in secrets.items() if secret in text)
    for line in outcome.lines:
        if "got" in line:
            yield f"{line.get('way')}: {line['got']}"
        if line.get("outcome") == "pass":
            yield "passed its tests"
    for figure, most in _most(attack, (outcome,)).items():
        if most > attack.bounds[figure]:
            yield f"had {most:,} {figure}"


def _untried(attack: Attack, outcome: Outcome) -> Iterator[str]:
    yield from (f"{line.get('way')}: {line['broken']}" for line in outcome.lines if "broken" in line)
    if attack.kind is not Kind.PLAIN:
        if [line.get("outcome") for line in outcome.lines] != ["fail", None]:
            yield f"its tests did not report: {outcome.end}, {outcome.lines}"
    elif outcome.end not in attack.ends:
        if outcome.end != "exited":
            yield f"ended early: {outcome.end}"
        elif not any("done" in line for line in outcome.lines):
            yield "ended before all was tried"


def _refusals(attack: Attack, outcomes: Sequence[Outcome]) -> str:
    ended = [outcome.end for outcome in outcomes if outcome.end != "exited"]
    if ended:
        return f"ended by the limit: {ended[0]}"
    counts = ", ".join(f"{value:,} {figure} at most" for figure, value in _most(attack, outcomes).items())
    refused = Counter(_reason(line["refused"]) for outcome in outcomes for line in outcome.lines if "refused" in line)
    reasons = ", ".join(reason for reason, _ in refused.most_common(2))
    return "; ".join(part for part in (counts, reasons) if part) or "nothing reached"


def _reason(refused: str) -> str:
    """Of an error's text the kernel's own words."""
    return re.sub(r"^\[Errno \d+\] (.*?)(: '.*)?$", r"\1", refused, flags=re.DOTALL)


def _most(attack: Attack, outcomes: Sequence[Outcome]) -> dict[str, int]:
    """The highest count of each thing that is bounded."""
    most: dict[str, int] = {}
    for outcome in outcomes:
        for line in outcome.lines:
            if line.get("figure") in attack.bounds:
                most[line["figure"]] = max(most.get(line["figure"], 0), line["value"])
    return most
