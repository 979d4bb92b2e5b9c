"""pass@1 as it stands is the report's, to the last digit: of whole strata and of their categories. By length it has
buckets of its own."""

from __future__ import annotations

from gateway.shadow.gate.draws import Kind
from gateway.shadow.report.collect import collect
from gateway.shadow.report.report import Asked
from gateway.shadow.report.standing import standing
from gateway.shadow.report.strata import By, Groups
from gateway.shadow.store import Store
from gateway.shadow.suites.load import load
from tests.gateway.shadow.report.planted import CATEGORIES, Planting, of, world

GROUPS = Groups([load("five")])


def test_it_is_the_reports(store: Store) -> None:
    world(store)
    planting = Planting(store, 1_000)
    for number in range(20):
        planting.pair(of(number % 2 == 0), of(passed=True), kind=Kind.LIVE_EXACT, form="instruct")
    planting.done()
    found = standing(store.evidence.tallies(), GROUPS)
    rows = [row for row in collect(store.evidence, Asked(), GROUPS).runs if row.cut.by is not By.LENGTH]
    assert {
        (of, each.cut): (each.suite, each.population)
        for of, rates in found.items()
        for each in rates
        if each.cut.by is not By.LENGTH
    } == {(row.of, row.cut): (row.suite, row.population) for row in rows}
    assert {of.stratum.kind for of in found} == {Kind.CANARY, Kind.LIVE_EXACT, Kind.MIRROR}


def test_the_whole_comes_first_and_the_strata_with_most_answers(store: Store) -> None:
    world(store)
    planting = Planting(store, 1_000)
    planting.single(of(passed=True))
    planting.done()
    found = list(standing(store.evidence.tallies(), GROUPS).items())
    assert [each.cut.name for each in found[0][1]] == ["all", *CATEGORIES, "1024", "8192"]
    assert [rates[0].suite.completions for _, rates in found] == [80, 80, 1]


def test_a_task_at_several_lengths_counts_once_in_each_and_once_in_the_whole(store: Store) -> None:
    planting = Planting(store)
    for tokens, passed in ((1_000, True), (1_024, False), (5_000, True), (200_000, True)):
        planting.single(of(passed), task_id="five/debugging/1", prompt_tokens=tokens)
    planting.single(of(passed=False), task_id="five/debugging/2", prompt_tokens=1_000)
    planting.done()
    ((_, rates),) = standing(store.evidence.tallies(), GROUPS).items()
    found = {each.cut.name: (each.suite.tasks, each.suite.completions, each.suite.value) for each in rates}
    assert found == {
        "all": (2, 5, 0.375),  # three of four, and none of one
        "debugging": (2, 5, 0.375),
        "1024": (2, 3, 0.25),
        "8192": (1, 1, 1.0),
        "more": (1, 1, 1.0),
    }
