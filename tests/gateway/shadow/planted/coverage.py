"""Do the report's intervals hold what was planted? And is every verdict the one that the server meant?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb, fsum, sqrt
from statistics import fmean, stdev
from typing import Any

from gateway.engines.simulated.tasks import TaskBook
from gateway.shadow.statistics.student import two_sided_t
from tests.fakes.gateway import LONG, SHORT
from tests.gateway.shadow.planted.run import MODELS, Run
from tests.gateway.shadow.planted.system import CATEGORY, FIVE, Planted
from tests.gateway.shadow.planted.worlds import table

CATEGORIES = tuple(dict.fromkeys(CATEGORY.values()))
THIS_SUITE, LIKE_THESE = "this_suite", "tasks_like_these"
DIFFERENCE = "difference"
CLAIMED = 0.95


@dataclass(frozen=True)
class Cell:
    """One interval of one run. `of`: a model, or the difference of both. `part`: a category, or all. `low` and `high`
    are None where the report refuses an interval."""

    run: str
    of: str
    part: str
    estimand: str
    truth: float
    low: float | None
    high: float | None

    @property
    def given(self) -> bool:
        return self.low is not None

    @property
    def covers(self) -> bool:
        return self.low is not None and self.high is not None and self.low <= self.truth <= self.high


def cells(run: Run) -> Iterator[Cell]:
    """Of rates and differences: of this suite by category and whole; of tasks like these whole, as 30 are the least."""
    for row in run.report["runs"]:
        if row["by"] in ("group", "all"):
            yield from _cells(run, row["served"]["model"], row["part"], row)
    for row in run.report["pairs"]:
        if row["by"] in ("group", "all"):
            yield from _cells(run, DIFFERENCE, row["part"], row["difference"])


def _cells(run: Run, of: str, part: str, estimates: Mapping[str, Any]) -> Iterator[Cell]:
    for estimand in (THIS_SUITE, LIKE_THESE) if part == "all" else (THIS_SUITE,):
        found = estimates[estimand]
        yield Cell(run.name, of, part, estimand, truth(run, of, part, estimand), found["low"], found["high"])


def truth(run: Run, of: str, part: str, estimand: str) -> float:
    """Of this suite: the rates that this run's servers drew for its tasks. Of tasks like these: what they drew from."""
    if of == DIFFERENCE:
        return truth(run, SHORT, part, estimand) - truth(run, LONG, part, estimand)
    if estimand == LIKE_THESE:
        return fmean(table(of).values())  # categories have eight tasks each
    return fmean(run.rates[of][task] for task in FIVE.tasks if part in ("all", CATEGORY[task]))


@dataclass(frozen=True)
class Coverage:
    """`exact`: Clopper and Pearson's 95 % interval, as if cells were independent. `by_run`: a t interval of the mean
    of each run's share, which they need not be (of one cell a run, none)."""

    covered: int
    given: int
    refused: int
    exact: tuple[float, float]
    by_run: tuple[float, float] | None

    @property
    def consistent(self) -> bool:
        """With 95 %."""
        return self.exact[0] <= CLAIMED <= self.exact[1]


def coverage(found: Iterable[Cell]) -> Coverage:
    found = list(found)
    by_run = defaultdict[str, list[bool]](list)
    for cell in found:
        if cell.given:
            by_run[cell.run].append(cell.covers)
    covered, given = sum(map(sum, by_run.values())), sum(map(len, by_run.values()))
    shares = [fmean(each) for each in by_run.values()]
    clustered = t_interval(shares) if given > len(by_run) and len(shares) > 1 else None
    return Coverage(covered, given, len(found) - given, clopper_pearson(covered, given), clustered)


def clopper_pearson(found: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """By halving, of the binomial's own tails."""
    tail = (1 - confidence) / 2

    def at_most(count: int, share: float) -> float:
        return fsum(comb(of, each) * share**each * (1 - share) ** (of - each) for each in range(count + 1))

    low = 0.0 if found == 0 else _root(lambda share: 1 - at_most(found - 1, share) - tail)
    high = 1.0 if found == of else _root(lambda share: tail - at_most(found, share))
    return low, high


def _root(rising: Any) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return low


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    half = two_sided_t(CLAIMED, len(values) - 1) * stdev(values) / sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


@dataclass(frozen=True)
class Verdicts:
    """Of answers, by task and model: `wrong` are passes too many or too few, compared with what the server drew.

    A task with a draw that has no verdict (the gateway's end cancelled it) is left out: which of the server's answers
    it was nobody knows.
    """

    answers: int
    wrong: int
    left_out: int


def verdicts(run: Run, planted: Mapping[str, Planted]) -> Verdicts:
    lost = {draw.task_id for draw in run.draws if draw.first is None or draw.second is None}
    drawn = Counter(draw.task_id for draw in run.draws)
    answers = wrong = 0
    for place, model in enumerate(MODELS):
        book = planted[model].book(model)
        passed = Counter(draw.task_id for draw in run.draws if (draw.first, draw.second)[place])
        for task, count in drawn.items():
            if task not in lost:
                answers, wrong = answers + count, wrong + abs(passed[task] - solved(book, task, count))
    return Verdicts(answers, wrong, 2 * sum(drawn[task] for task in lost))


def solved(book: TaskBook, task: str, count: int) -> int:
    """How many of the server's first answers to a task are right, as it draws them: none is asked with a seed."""
    known = book.known[task]
    return sum(book.sample(known, f"number {number}", 0).kind == "right" for number in range(count))
