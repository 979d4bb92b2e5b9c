"""pass@1 as it would be on live traffic: canaries, weighted to be as long and of the forms that live prompts are."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import fsum

from gateway.shadow.canary.mix import EDGES, LiveMix
from gateway.shadow.match.matcher import Form
from gateway.shadow.report.rates import WeightedSums
from gateway.shadow.statistics.weighted import Weighted, weighted_rate

ASSUMPTION = (
    "It assumes that a live prompt is as hard as a task of its length (by half octaves) and form; that length and"
    " form are independent of each other in live traffic; and, for libraries, that canaries were drawn to import what"
    " live prompts import. Nothing of this can be tested: live prompts have no tests."
)
MOST_UNCOVERED = 0.05
"""Share of the live prompts that may have a length and form of which nothing was drawn."""

Cell = tuple[int, str]
"""A bin of length, and a form."""


@dataclass(frozen=True, slots=True)
class TrafficWeighted:
    """`estimate` is None where it is refused; `refused` says why. `uncovered`: the share of live prompts left out."""

    estimate: Weighted | None
    uncovered: float
    refused: str = ""


class TrafficTotals:
    """Completions and passes by cell and task."""

    def __init__(self) -> None:
        self._seen: defaultdict[Cell, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))

    def add(self, task_id: str, prompt_tokens: int, form: str, passed: bool) -> None:
        counts = self._seen[bisect_left(EDGES, prompt_tokens), form][task_id]
        counts[0] += 1
        counts[1] += passed

    def weighted(self, mix: LiveMix) -> TrafficWeighted:
        """Each cell counts as much as live traffic has of it, and within it each draw the same (post-stratification).

        Refused where cells without draws are more than 5 % of traffic, or the draws weigh as fewer than 30 equal tasks.
        """
        shares = dict(_shares(mix))
        covered = fsum(share for cell, share in shares.items() if cell in self._seen)
        uncovered = max(0.0, 1 - covered)
        if not shares:
            return TrafficWeighted(None, 1.0, "the mix of live traffic is empty")
        if uncovered > MOST_UNCOVERED:
            refused = f"{uncovered:.0%} of the live prompts have a length and form of which no canary has a verdict"
            return TrafficWeighted(None, uncovered, f"{refused}; {MOST_UNCOVERED:.0%} are the most")
        estimate = weighted_rate([sums.sum for sums in self._sums(shares).values()])
        if estimate is None or estimate.missing:
            return TrafficWeighted(None, uncovered, estimate.missing if estimate else "no canary has a verdict")
        return TrafficWeighted(estimate, uncovered)

    def _sums(self, shares: Mapping[Cell, float]) -> dict[str, WeightedSums]:
        sums: defaultdict[str, WeightedSums] = defaultdict(WeightedSums)
        for cell, tasks in self._seen.items():
            draws = sum(completions for completions, _ in tasks.values())
            weight = shares.get(cell, 0.0) / draws
            for task_id, (completions, passed) in tasks.items():
                for place in range(completions if weight else 0):
                    sums[task_id].add(weight, place < passed)
        return sums


def _shares(mix: LiveMix) -> Iterator[tuple[Cell, float]]:
    """Chat turns ask in words, as instruct does, and canaries have no chat form."""
    asked_in_words = mix.forms.get(Form.INSTRUCT, 0) + mix.forms.get(Form.CHAT, 0)
    forms = {Form.COMPLETE: mix.forms.get(Form.COMPLETE, 0), Form.INSTRUCT: asked_in_words}
    all_forms = sum(forms.values())
    for place, count in enumerate(mix.lengths):
        for form, of_form in forms.items():
            if count and of_form:
                yield (place, form.value), count / mix.requests * of_form / all_forms
