"""Coverage at many seeds, without HTTP: the simulated servers' own draws through the report's estimates.

That is what the end-to-end runs come to, as far as no verdict differs from what its server meant, which they count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from statistics import fmean
from typing import Any

from gateway.shadow.statistics.intervals import Estimate, tasks_like_these, this_suite
from gateway.shadow.statistics.tally import Tally
from tests.gateway.shadow.planted.coverage import CATEGORIES, LIKE_THESE, THIS_SUITE, solved
from tests.gateway.shadow.planted.system import CATEGORY
from tests.gateway.shadow.planted.worlds import as_claimed, icc_of, table

SEEDS = 600


def without_http(first_seed: int, pairs: int, seeds: int = SEEDS) -> dict[str, Any]:
    """How often the intervals of both families hold what was planted, pooled over categories, and whole."""
    given, covered, random = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Random(first_seed)

    def seen(what: tuple[str, str], estimate: Estimate, truth: float) -> None:
        if estimate.interval is not None:
            given[what] += 1
            covered[what] += estimate.interval.low <= truth <= estimate.interval.high

    for seed in range(first_seed, first_seed + seeds):
        for model, planted in as_claimed(seed, icc_of(seed - first_seed)).items():
            book = planted.book(model)
            rates = {task: known.solved_rate for task, known in book.known.items()}
            drawn = Counter(random.choices(list(rates), k=pairs))
            tallies = {task: Tally(solved(book, task, count), count) for task, count in drawn.items()}
            for part in (*CATEGORIES, "all"):
                own = [task for task in rates if part in ("all", CATEGORY[task])]
                name = part if part == "all" else "categories, pooled"
                found = this_suite(_of(tallies, own))
                seen((THIS_SUITE, name), found, fmean(rates[task] for task in own))
            seen((LIKE_THESE, "all"), tasks_like_these(_of(tallies, list(rates))), fmean(table(model).values()))
    rows = [
        {"estimand": estimand, "part": part, "covered": covered[estimand, part], "given": count}
        for (estimand, part), count in given.items()
    ]
    return {"seeds": seeds, "first_seed": first_seed, "pairs": pairs, "rows": rows}


def _of(tallies: dict[str, Tally], tasks: Sequence[str]) -> list[Tally]:
    return [tallies[task] for task in tasks if task in tallies]
