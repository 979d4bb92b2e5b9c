"""pass@1 as it stands is the report's, to the last digit: of whole strata and of their categories."""

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
    assert {(of, each.cut): (each.suite, each.population) for of, rates in found.items() for each in rates} == {
        (row.of, row.cut): (row.suite, row.population) for row in rows
    }
    assert {of.stratum.kind for of in found} == {Kind.CANARY, Kind.LIVE_EXACT, Kind.MIRROR}


def test_the_whole_comes_first_and_the_strata_with_most_answers(store: Store) -> None:
    world(store)
    planting = Planting(store, 1_000)
    planting.single(of(passed=True))
    planting.done()
    found = list(standing(store.evidence.tallies(), GROUPS).items())
    assert [each.cut.name for each in found[0][1]] == ["all", *CATEGORIES]
    assert [rates[0].suite.completions for _, rates in found] == [80, 80, 1]
