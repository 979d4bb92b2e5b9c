"""The sampling design: of every (bucket of length, form, task) the chance that a draw is it.

A bucket comes by its weight, then a form by its share of live prompts (one is added to each count, so none is 0), then
a task. For `uniform_share` of the draws that is any of the stratum's tasks; for the rest a library is drawn by how many
live requests import it, then one of the tasks that use it (any, where none does). So what live traffic imports, tasks
import as often, and no task is drawn less often than `uniform_share` over their number. Length, form and library are
taken to be independent of each other in live traffic: the mix does not know better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from math import fsum, log
from typing import NamedTuple

from gateway.shadow.canary.mix import EDGES, NO_LIBRARY, LiveMix
from gateway.shadow.canary.plan import Inflation, Plan
from gateway.shadow.canary.prompt import OwnLengths
from gateway.shadow.match.matcher import Form
from gateway.shadow.suites.domains import DOMAIN_OF
from gateway.shadow.suites.task import Suite, Task


class NothingToDraw(ValueError):
    """A bucket that no task can be drawn for. The message says which and what to do."""


class Choice(NamedTuple):
    """`own_tokens`: of the task's prompt as it is. `chance`: within its stratum."""

    task_id: str
    own_tokens: int
    inflated: bool
    chance: float


class Targets(NamedTuple):
    """To which lengths a bucket's prompts are inflated: `given`, or log-uniform from `lowest` to `highest`."""

    lowest: int
    highest: int
    given: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stratum:
    """Draws of one form with more than `start` and at most `up_to` tokens. `targets`: None where none is inflated."""

    start: int
    up_to: int
    form: Form
    chance: float
    targets: Targets | None
    choices: tuple[Choice, ...]

    def propensity(self, choice: Choice) -> float:
        return self.chance * choice.chance


@dataclass(frozen=True, slots=True)
class Design:
    """`propensities` sum to 1. Designs with the same `digest` draw the same.

    `uncovered`: share of the live prompts whose lengths no draw has ("like live" only): what is said of live traffic
    leaves them out.
    """

    strata: tuple[Stratum, ...]
    uncovered: float
    seed: int
    digest: str

    def propensities(self) -> Iterator[tuple[Stratum, Choice, float]]:
        for stratum in self.strata:
            for choice in stratum.choices:
                yield stratum, choice, stratum.propensity(choice)


def design(plan: Plan, suite: Suite, lengths: OwnLengths, mix: LiveMix) -> Design:
    """Raises NothingToDraw."""
    declared = _declared(plan)
    buckets = declared or _like_live(plan, mix)
    tasks = list(suite.tasks.values())
    found: list[tuple[_Bucket, list[_Stratum]]] = []
    for bucket in buckets:
        targets = _targets(plan.inflation, bucket)
        slack = plan.inflation.slack(targets.lowest) if targets else 0
        strata = (_stratum(bucket, form, targets, tasks, lengths, slack) for form in plan.forms)
        found.append((bucket, [stratum for stratum in strata if stratum.tasks]))
    if declared:
        _all_covered(found)
    weights = _weights(found)
    uncovered = 0.0 if declared else 1.0 - sum(bucket.weight for bucket, strata in found if strata)
    made = [
        _finished(bucket, stratum, weight * share, plan, mix)
        for (bucket, strata), weight in zip(found, weights, strict=True)
        if weight > 0
        for stratum, share in zip(strata, _form_shares(strata, mix), strict=True)
    ]
    return Design(tuple(made), max(0.0, uncovered), plan.seed, _digest(plan, suite, made))


class _Bucket(NamedTuple):
    start: int
    up_to: int
    weight: float


class _Stratum(NamedTuple):
    form: Form
    targets: Targets | None
    tasks: list[Task]
    own: list[tuple[int, bool]]
    """Of each task: its own length, and whether it is inflated."""


def _declared(plan: Plan) -> list[_Bucket]:
    if isinstance(plan.lengths, str):
        return []
    edges = [0, *(bucket.up_to for bucket in plan.lengths)]
    return [_Bucket(*ends, bucket.weight) for ends, bucket in zip(pairwise(edges), plan.lengths, strict=True)]


def _like_live(plan: Plan, mix: LiveMix) -> list[_Bucket]:
    """The mix's bins, the last one cut at the longest prompt that may be drawn: it keeps its part by octaves."""
    total, buckets = mix.requests or 1, list[_Bucket]()
    for (start, end), count in zip(pairwise((0, *EDGES)), mix.lengths, strict=False):
        up_to = min(end, plan.longest)
        if start < up_to:
            kept = 1.0 if up_to == end else log(up_to / max(1, start)) / log(end / max(1, start))
            buckets.append(_Bucket(start, up_to, kept * count / total))
    return buckets


def _targets(inflation: Inflation, bucket: _Bucket) -> Targets | None:
    if not inflation.enabled:
        return None
    if inflation.targets:
        given = tuple(target for target in inflation.targets if bucket.start < target <= bucket.up_to)
        return Targets(given[0], given[-1], given) if given else None
    lowest = inflation.lowest(bucket.start)
    return Targets(lowest, bucket.up_to) if lowest <= bucket.up_to else None


_ROOM = 256  # tokens for files, beyond what the tolerance may leave out of them: fewer are hardly a file


def _stratum(
    bucket: _Bucket, form: Form, targets: Targets | None, tasks: Sequence[Task], lengths: OwnLengths, slack: int
) -> _Stratum:
    """Tasks that are short enough for every target are inflated; those of the bucket's lengths are sent as they are."""
    found = _Stratum(form, targets, [], [])
    for task in tasks:
        if (own := lengths.get((task.task_id, form))) is None:
            continue
        inflated = targets is not None and own + _ROOM + slack <= targets.lowest
        if inflated or bucket.start < own <= bucket.up_to:
            found.tasks.append(task)
            found.own.append((own, inflated))
    return found


def _all_covered(found: Sequence[tuple[_Bucket, list[_Stratum]]]) -> None:
    empty = [f"{bucket.start + 1:,} to {bucket.up_to:,} tokens" for bucket, strata in found if not strata]
    if empty:
        raise NothingToDraw(
            f"no task has {' or '.join(empty)}: switch inflation on (with a target there), or drop the bucket"
        )


def _weights(found: Sequence[tuple[_Bucket, list[_Stratum]]]) -> list[float]:
    """Of each bucket, summing to 1 over those that have tasks.

    Where no live prompt has a length that can be drawn, buckets weigh as many tasks as they have of their own.
    """
    weights = [bucket.weight if strata else 0.0 for bucket, strata in found]
    if not any(weights):
        weights = [float(sum(not inflated for stratum in strata for _, inflated in stratum.own)) for _, strata in found]
    total = fsum(weights)
    if not total:
        raise NothingToDraw("no prompt of these forms is within `longest`: raise it, or take another suite or form")
    return [weight / total for weight in weights]


def _form_shares(strata: Sequence[_Stratum], mix: LiveMix) -> list[float]:
    """Live requests with turns before them ask in words: they count as instruct."""
    live = mix.forms
    counts = {
        Form.COMPLETE: 1 + live.get(Form.COMPLETE, 0),
        Form.INSTRUCT: 1 + live.get(Form.INSTRUCT, 0) + live.get(Form.CHAT, 0),
    }
    total = sum(counts[stratum.form] for stratum in strata)
    return [counts[stratum.form] / total for stratum in strata]


def _finished(bucket: _Bucket, stratum: _Stratum, chance: float, plan: Plan, mix: LiveMix) -> Stratum:
    chances = _chances(stratum.tasks, mix.libraries, plan.uniform_share)
    choices = tuple(
        Choice(task.task_id, own, inflated, each)
        for task, (own, inflated), each in zip(stratum.tasks, stratum.own, chances, strict=True)
    )
    return Stratum(bucket.start, bucket.up_to, stratum.form, chance, stratum.targets, choices)


def _chances(tasks: Sequence[Task], live: Mapping[str, int], uniform_share: float) -> list[float]:
    """Of each task, summing to 1; see the module's docstring."""
    users: dict[str, list[int]] = defaultdict(list)
    for place, task in enumerate(tasks):
        for library in sorted(set(task.libs) & DOMAIN_OF.keys()) or [NO_LIBRARY]:
            users[library].append(place)
    total = sum(live.values())
    chances = [0.0] * len(tasks)
    for library, places in users.items():  # in an order that every process has: sums of floats depend on it
        for place in places if total else ():
            chances[place] += (1 - uniform_share) * live.get(library, 0) / total / len(places)
    rest = (1.0 - fsum(chances)) / len(tasks)
    return [chance + rest for chance in chances]


def _digest(plan: Plan, suite: Suite, strata: Sequence[Stratum]) -> str:
    inflation = plan.inflation.model_dump_json(exclude={"folder"})
    text = repr((plan.seed, suite.digest, plan.direct_completion, inflation, strata))
    return blake2b(text.encode(), digest_size=8).hexdigest()
