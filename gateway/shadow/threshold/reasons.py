"""A recommendation in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.shadow.threshold.inputs import Constraints
from gateway.shadow.threshold.recommendation import Limit, Recommendation, Status

LIKENESS = "live prompts are taken to be as hard as tasks of their length; nothing here checks that"


def reasons(answer: Recommendation, constraints: Constraints) -> Iterator[str]:
    yield from _BY_STATUS[answer.status](answer, constraints)
    yield _quality(answer)
    yield f"{answer.tasks:,} tasks, worth {answer.effective:.0f} when weighted to be as long as traffic is; {LIKENESS}"


def _recommended(answer: Recommendation, constraints: Constraints) -> Iterator[str]:
    row = answer.chosen
    assert row is not None
    yield (
        f"T = {row.threshold:,}: {row.share:.0%} of the prompts go to the short family, {row.cost:.3g} GPU-seconds a"
        f" request; there pass@1 loses {row.loss:+.3f}, at most {row.upper:+.3f} ({constraints.delta:g} is allowed)"
    )
    if row.fitted is not None and row.fitted < -constraints.delta:
        yield f"just below T it loses {-row.fitted:.3f} (monotone fit): gains at shorter lengths make up for that"
    yield f"larger T: {', '.join(answer.stops_larger)}; smaller T: {', '.join(answer.stops_smaller)}"
    if len(answer.within_regret) > 1:
        listed = ", ".join(f"{threshold:,}" for threshold in answer.within_regret)
        yield f"within {constraints.regret:.0%} of the least cost: {listed}"


def _infeasible(answer: Recommendation, constraints: Constraints) -> Iterator[str]:
    if len(answer.conflict) == 1:
        yield f"no feasible T: {answer.conflict[0]} allows none"
    else:
        allowed = "; ".join(f"{limit} allows {_allowed(answer, limit)}" for limit in answer.conflict)
        yield f"no feasible T: {allowed}"


def _allowed(answer: Recommendation, limit: Limit) -> str:
    allowed = [row.threshold for row in answer.candidates if limit not in row.fails]
    return f"{allowed[0]:,}" if len(allowed) == 1 else f"{allowed[0]:,} to {allowed[-1]:,}"


def _refused(answer: Recommendation, constraints: Constraints) -> Iterator[str]:
    uncovered = min(row.uncovered for row in answer.candidates[1:])
    yield (
        f"refused: weighted to be as long as traffic is, the tasks are worth {answer.effective:.0f} at most"
        f" ({constraints.least_effective:.0f} are needed), and at least {uncovered:.0%} of the prompts have no tasks of"
        f" their length ({constraints.most_uncovered:.0%} may); run more tasks at the lengths of traffic"
    )


def _quality(answer: Recommendation) -> str:
    low, high = answer.crossover
    if answer.quality_alone:
        found = f"{answer.quality_alone:,} (between {low:,} and {high:,})"
        return f"by quality alone T = {found}: up to it the short family is better"
    if high == 0:
        return "by quality alone T = 0: the long family is as good or better at every length"
    return f"by quality alone T = 0: the short family is shown to be better at no length (it may be up to {high:,})"


_BY_STATUS = {Status.RECOMMENDED: _recommended, Status.INFEASIBLE: _infeasible, Status.REFUSED: _refused}
