"""What the report says of stores whose truth is planted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.shadow.gate.draws import Kind, Outcome
from gateway.shadow.report.collect import Collector, collect
from gateway.shadow.report.pairs import PairRow
from gateway.shadow.report.rates import RunRow
from gateway.shadow.report.report import Asked, Counted, Report
from gateway.shadow.report.strata import WHOLE, By, Groups
from gateway.shadow.score.verdict import Says
from gateway.shadow.statistics.intervals import tasks_like_these, this_suite
from gateway.shadow.statistics.paired import paired_difference
from gateway.shadow.statistics.tally import Tally
from gateway.shadow.store import Matching, Role, Side, Store
from gateway.shadow.suites.load import load
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.report.planted import CATEGORIES, IDS, Planting, drawn, of, world
from tests.gateway.shadow.store.evidence import NOON, a_run, a_sample

FIVE = Groups([load("five")])


def report(store: Store, asked: Asked | None = None) -> Report:
    return collect(store.evidence, asked or Asked(), FIVE)


def whole_pairs(found: Report) -> list[PairRow]:
    return [row for row in found.pairs if row.cut == WHOLE]


def whole_runs(found: Report) -> list[RunRow]:
    return [row for row in found.runs if row.cut == WHOLE]


def test_planted_pairs_come_back_as_rates_intervals_and_differences(store: Store) -> None:
    happened = world(store)
    passes = {side: Counter[str]() for side in Side}
    for task_id, _, first, second in happened:
        passes[Side.FIRST][task_id] += first is Outcome.PASS
        passes[Side.SECOND][task_id] += second is Outcome.PASS
    first, second = ([Tally(passes[side][task_id], 2) for task_id in IDS] for side in Side)
    found = report(store)
    (pair,) = whole_pairs(found)
    assert pair.difference == paired_difference(list(zip(first, second, strict=True)))
    assert pair.pairs == 80
    assert (pair.first and pair.first.suite, pair.second and pair.second.suite) == (
        this_suite(first),
        this_suite(second),
    )
    rows = {row.of.served[0].model: row for row in whole_runs(found)}
    for served, tallies in ((FIRST, first), (SECOND, second)):
        row = rows[served.model]
        assert (row.suite, row.population) == (this_suite(tallies), tasks_like_these(tallies))
        assert row.outcomes.total() == 80
        assert row.levels == {"bubblewrap/separate": 64, "bubblewrap/in-process": 16}
        assert (row.tokens_in, row.tokens_out) == (8000, 800)
    in_process = sum(passed is Outcome.PASS for task_id, _, passed, _ in happened if task_id.startswith("five/api_use"))
    assert rows[FIRST.model].forgeable == in_process


def test_parts_are_lengths_and_categories_and_add_up(store: Store) -> None:
    world(store)
    found = report(store)
    for by, names, each in (
        (By.LENGTH, {"513 to 1,024 tokens", "4,097 to 8,192 tokens"}, 40),
        (By.GROUP, set(CATEGORIES), 16),
    ):
        rows = [row for row in found.pairs if row.cut.by is by]
        assert {row.cut.name: row.pairs for row in rows} == dict.fromkeys(names, each)


def test_kinds_suites_forms_and_revisions_are_never_pooled(store: Store) -> None:
    planting = Planting(store)
    other = replace(FIRST, revision="r2")
    variants: list[dict[str, object]] = [
        {},
        {"kind": Kind.LIVE_EXACT},
        {"kind": Kind.LIVE_NEAR},
        {"suite": "five:2"},
        {"form": "instruct"},
        {"sampling": "temperature 1"},
        {"target_tokens": 1001},
        {"served": (other, SECOND)},
    ]
    for fields in variants:
        planting.pair(Outcome.PASS, Outcome.FAIL, **fields)  # type: ignore[arg-type]
    planting.done()
    found = report(store)
    assert [row.pairs for row in whole_pairs(found)] == [1] * len(variants)
    # The second family's run of the last is of the first variant's stratum.
    assert sorted(row.outcomes.total() for row in whole_runs(found)) == [1] * (2 * len(variants) - 2) + [2]


def test_a_mirrors_run_is_mirror_evidence_and_its_pair_is_its_samples(store: Store) -> None:
    planting = Planting(store)
    planting.pair(Outcome.PASS, Outcome.FAIL, kind=Kind.LIVE_EXACT)
    planting.pair(Outcome.PASS, Outcome.PASS)
    planting.done()
    found = report(store, Asked(kind=Kind.MIRROR))
    assert [(row.of.stratum.kind, row.of.served) for row in whole_runs(found)] == [(Kind.MIRROR, (SECOND,))]
    assert [row.of.stratum.kind for row in whole_pairs(found)] == [Kind.LIVE_EXACT]


def test_families_are_compared_on_pairs_only(store: Store) -> None:
    planting = Planting(store)
    for _ in range(3):
        planting.single(Outcome.PASS, FIRST)
        planting.single(Outcome.FAIL, SECOND)
    planting.done()
    found = report(store)
    assert (found.pairs, found.single, found.samples) == ((), 6, 6)


@pytest.mark.parametrize(
    ("outcome", "pairs", "dropped", "never"),
    [
        (Outcome.TIMEOUT, 2, 0, 0),
        (Outcome.LENGTH, 2, 0, 0),
        (Outcome.ERROR, 1, 1, 0),
        (Outcome.SHED, 1, 1, 0),
        (Outcome.CANCELLED, 1, 0, 1),
        (Outcome.BEYOND_WINDOW, 1, 0, 1),
    ],
)
def test_what_is_no_verdict_is_counted(store: Store, outcome: Outcome, pairs: int, dropped: int, never: int) -> None:
    planting = Planting(store)
    planting.pair(Outcome.PASS, Outcome.PASS, task_id=IDS[0])
    planting.pair(outcome, Outcome.PASS, task_id=IDS[1])
    planting.done()
    found = report(store)
    (pair,) = whole_pairs(found)
    assert (pair.pairs, pair.dropped, pair.never_pairs) == (pairs, dropped, never)
    (row,) = (row for row in whole_runs(found) if row.of.served == (FIRST,))
    assert row.outcomes == {Outcome.PASS: 1, outcome: 1}
    assert row.suite
    assert row.suite.completions == pairs
    bounds = [each.value for each in (pair.if_dropped_fail, pair.if_dropped_pass) if each]
    assert bounds == ([-0.5, 0.0] if dropped else [pair.difference and pair.difference.value] * 2)


def test_draws_at_a_rate_weigh_by_it(store: Store) -> None:
    planting = Planting(store)
    for place in range(40):
        planting.single(of(place < 20), propensity=0.1 if place < 20 else 0.9, task_id=IDS[place])
    planting.done()
    (row,) = whole_runs(report(store))
    assert row.suite
    assert row.weighted
    assert row.suite.value == 0.5
    assert row.weighted.value == pytest.approx(0.9)
    assert row.weighted.stands_for == pytest.approx(20 / 0.1 + 20 / 0.9)
    assert row.weighted.missing.startswith("not enough")


def test_what_is_open_controls_and_flips_are_told(store: Store) -> None:
    planting = Planting(store)
    planting.pair(Outcome.PASS, Outcome.PASS)
    planting.again(a_sample(1), Side.FIRST, Says.FAIL)
    planting.again(a_sample(1), Side.SECOND, Says.PASS)
    planting.control(True, Outcome.PASS)
    planting.control(False, Outcome.PASS)
    planting.control(False, Outcome.ERROR)
    planting.done()
    waiting = a_sample(9, kind=Kind.LIVE_EXACT)
    store.add(waiting, a_run(waiting, role=Role.LIVE))
    found = report(store)
    assert (found.reruns, found.flips, found.open_runs) == (2, 1, 1)
    assert found.controls == {(True, True): 1, (False, True): 1, (False, None): 1}


def test_only_what_was_asked_for(store: Store) -> None:
    planting = Planting(store)
    planting.pair(Outcome.PASS, Outcome.FAIL)
    planting.pair(Outcome.PASS, Outcome.FAIL, suite="other:1", task_id="other/1")
    planting.pair(Outcome.PASS, Outcome.FAIL, kind=Kind.LIVE_NEAR)
    planting.done()

    def samples(asked: Asked) -> int:
        return report(store, asked).samples

    assert samples(Asked()) == 3
    assert samples(Asked(suite="five")) == samples(Asked(suite="five:1")) == 2
    assert samples(Asked(suite="other")) == samples(Asked(kind=Kind.LIVE_NEAR)) == 1
    assert samples(Asked(since=NOON + 2)) == 2
    assert samples(Asked(until=NOON + 2)) == 1
    found = report(store, Asked(model=SECOND.model))
    assert {row.of.served for row in found.runs} == {(SECOND,)}
    assert len(whole_pairs(found)) == 3
    assert found.ungrouped == ("other:1",)


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([*Outcome])] * 2, st.sampled_from(IDS[:5])), min_size=1, max_size=20))
def test_whatever_happens_all_pairs_are_somewhere_and_rates_are_rates(
    happened: list[tuple[Outcome, Outcome, str]],
) -> None:
    collector = Collector(Asked(), FIVE)
    for number, (first, second, task_id) in enumerate(happened):
        collector.add(drawn(number, first, second, task_id))
    found = collector.report(Counted((), Matching(0, 0), ()), None)
    (pair,) = whole_pairs(found)
    assert pair.pairs + pair.dropped + pair.never_pairs == len(happened)
    for row in whole_runs(found):
        assert row.outcomes.total() == len(happened)
        assert row.suite is None or 0 <= row.suite.value <= 1
        assert row.weighted is None or 0 <= row.weighted.value <= 1
    if pair.if_dropped_fail and pair.if_dropped_pass:
        assert -1 <= pair.if_dropped_fail.value <= pair.if_dropped_pass.value <= 1
