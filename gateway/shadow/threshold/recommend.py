"""The threshold T: prompts of at most T tokens go to the short family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, combinations
from math import fsum
from random import Random

from gateway.shadow.threshold.bins import Tasks, Traffic, losses
from gateway.shadow.threshold.bootstrap import Replicates, crossover, percentile, regrets, replicates, upper_losses
from gateway.shadow.threshold.inputs import Constraints, Costs, LivePrompt, TaskDifference
from gateway.shadow.threshold.reasons import reasons
from gateway.shadow.threshold.recommendation import Candidate, Limit, Recommendation, Status


def recommend(
    evidence: Sequence[TaskDifference],
    traffic: Sequence[LivePrompt],
    costs: Costs,
    constraints: Constraints,
    rng: Random,
) -> Recommendation:
    """The candidate with the fewest GPU-seconds a request, of those that meet every constraint.

    The loss is the mean over the prompts that T sends to the short family, each with the difference of the tasks of its
    bin of length: gains at some lengths make up for losses at others, unless `most_tail_loss` says no. That assumes
    that likeness in length carries difficulty, which nothing here can check; the effective number of tasks only says
    how thin the evidence is. T = 0 sends nothing to the short family, so it loses nothing and needs no evidence. Raises
    ValueError where there is nothing to weigh (no task, or prompts of fewer than two hours). The same state of `rng`
    gives the same answer.
    """
    tasks = Tasks(evidence, constraints.candidates)
    live = Traffic(traffic, constraints.candidates, costs)
    drawn = replicates(tasks, live, constraints.replicates, rng)
    rows = _with_regrets(_candidates(tasks, live, drawn, constraints), drawn, constraints)
    best, status = _best(rows), _status(rows)
    quality_alone, *interval = _crossover(tasks, drawn, rows, constraints)
    answer = Recommendation(
        status=status,
        threshold=None if best is None else rows[best].threshold,
        reasons=(),
        candidates=tuple(rows),
        within_regret=() if best is None else _within(rows, best, constraints.regret),
        binding=() if best is None else _binding(rows, best),
        stops_larger=() if best is None else _stops(rows, best + 1),
        stops_smaller=() if best is None else _stops(rows, best - 1),
        quality_alone=quality_alone,
        crossover=(interval[0], interval[1]),
        conflict=_conflict(rows) if status is Status.INFEASIBLE else (),
        effective=max(row.effective for row in rows),
        tasks=len(tasks.all),
        prompts=len(traffic),
    )
    return replace(answer, reasons=tuple(reasons(answer, constraints)))


def _with_regrets(rows: Sequence[Candidate], drawn: Replicates, constraints: Constraints) -> list[Candidate]:
    feasible = [place for place, row in enumerate(rows) if row.feasible]
    dearer = regrets(drawn, feasible, constraints.confidence) if feasible else {}
    return [replace(row, regret=dearer.get(place)) for place, row in enumerate(rows)]


def _refused(rows: Sequence[Candidate]) -> bool:
    return all(Limit.EVIDENCE in row.fails for row in rows[1:])


def _best(rows: Sequence[Candidate]) -> int | None:
    feasible = [place for place, row in enumerate(rows) if row.feasible]
    return min(feasible, key=lambda place: rows[place].cost) if feasible and not _refused(rows) else None


def _status(rows: Sequence[Candidate]) -> Status:
    if _refused(rows):
        return Status.REFUSED
    return Status.RECOMMENDED if any(row.feasible for row in rows) else Status.INFEASIBLE


def _candidates(tasks: Tasks, live: Traffic, drawn: Replicates, constraints: Constraints) -> list[Candidate]:
    weights = live.weights(live.whole)
    means, counts = tasks.means(tasks.all)
    fit, found, effective = tasks.fit(means, counts), losses(means, weights), tasks.effective(weights)
    up_to = [0.0, *accumulate(weights)]
    bare = accumulate(0.0 if count else weight for count, weight in zip(counts, weights, strict=False))
    uncovered = [empty / sent if sent else 0.0 for empty, sent in zip(bare, up_to[1:], strict=False)]
    usable = [
        count >= constraints.least_effective and empty <= constraints.most_uncovered
        for count, empty in zip(effective, uncovered, strict=True)
    ]
    upper = upper_losses(found, drawn, usable, tasks, effective, constraints.confidence)
    rows = []
    for place, (threshold, cost) in enumerate(zip(constraints.candidates, live.costs(live.whole), strict=True)):
        bin_ = place - 1
        row = Candidate(
            threshold=threshold,
            share=up_to[place] / fsum(weights),
            cost=cost,
            loss=found[bin_] if place else 0.0,
            upper=upper[bin_] if place else 0.0,
            fitted=fit[bin_] if place else None,
            effective=effective[bin_] if place else 0.0,
            uncovered=uncovered[bin_] if place else 0.0,
            fails=(),
        )
        known = place == 0 or any(usable[bin_:])
        rows.append(replace(row, fails=tuple(_fails(row, known, constraints))))
    return rows


def _fails(row: Candidate, known: bool, constraints: Constraints) -> Iterator[Limit]:
    if not known:
        yield Limit.EVIDENCE
    elif row.upper > constraints.delta:
        yield Limit.QUALITY
    if constraints.most_tail_loss is not None and -(row.fitted or 0.0) > constraints.most_tail_loss:
        yield Limit.TAIL
    load = constraints.load(row.threshold)
    for pool, ttft, itl, utilisation in (
        (load.short, Limit.SHORT_TTFT, Limit.SHORT_ITL, Limit.SHORT_UTILISATION),
        (load.long, Limit.LONG_TTFT, Limit.LONG_ITL, Limit.LONG_UTILISATION),
    ):
        if pool.ttft_p99 > constraints.most_ttft_p99:
            yield ttft
        if pool.itl_p99 > constraints.most_itl_p99:
            yield itl
        if pool.utilisation > constraints.most_utilisation:
            yield utilisation
    if row.threshold and row.threshold + constraints.reserved_output > constraints.short_window:
        yield Limit.WINDOW


def _crossover(
    tasks: Tasks, drawn: Replicates, rows: Sequence[Candidate], constraints: Constraints
) -> tuple[int, int, int]:
    """The threshold by quality alone, and the bootstrap interval of the length up to which the fit is positive.

    Unless some loss is shown to be negative (by bounds that hold together) both begin with 0: the fit's first bins are
    too good on average, so that it is positive somewhere even if the short family is better nowhere.
    """
    tail = (1 - constraints.confidence) / 2
    places = sorted(drawn.crossovers)
    low, high = (constraints.candidates[percentile(places, level)] for level in (tail, 1 - tail))
    if all(row.upper >= 0 for row in rows[1:]):
        return 0, 0, high
    return constraints.candidates[crossover(tasks.fit(*tasks.means(tasks.all)))], low, high


def _within(rows: Sequence[Candidate], best: int, regret: float) -> tuple[int, ...]:
    return tuple(
        row.threshold
        for place, row in enumerate(rows)
        if place == best or (row.regret is not None and row.regret <= regret)
    )


def _binding(rows: Sequence[Candidate], best: int) -> tuple[Limit, ...]:
    cheaper = [place for place, row in enumerate(rows) if row.cost < rows[best].cost]
    return rows[min(cheaper, key=lambda place: abs(place - best))].fails if cheaper else ()


def _stops(rows: Sequence[Candidate], place: int) -> tuple[str, ...]:
    if not 0 <= place < len(rows):
        return ("no candidate",)
    return tuple(limit.value for limit in rows[place].fails) or ("cost",)


def _conflict(rows: Sequence[Candidate]) -> tuple[Limit, ...]:
    """The smallest set of limits of which every candidate fails one; of several, the first in the order of `Limit`."""
    failing = [limit for limit in Limit if any(limit in row.fails for row in rows)]
    sets = (chosen for size in range(1, len(failing) + 1) for chosen in combinations(failing, size))
    return next(chosen for chosen in sets if all(set(chosen) & set(row.fails) for row in rows))
