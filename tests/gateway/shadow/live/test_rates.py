"""pass@1 with its bounds as metrics: the report's figures, never pooled, and bounded in number, length and cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.shadow.gate.draws import Kind
from gateway.shadow.live.rates import EVERY, MOST_STRATA, Rates, pause_after
from gateway.shadow.report.collect import collect
from gateway.shadow.report.report import Asked
from gateway.shadow.report.strata import By, Groups
from gateway.shadow.store import Store, open_store
from gateway.shadow.suites.load import load
from gateway.telemetry import names, page
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.report.planted import CATEGORIES, Planting, of, world
from tests.gateway.shadow.store.evidence import NOON, Time

GROUPS = Groups([load("five")])
Labels = dict[str, str]
WHOLE = {"category": "all", "length": "all"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{file}") as opened:
        yield opened


def shown(rates: Rates) -> dict[str, list[tuple[Labels, float]]]:
    families = text_string_to_metric_families(rates.text.decode())
    return {family.name: [(sample.labels, sample.value) for sample in family.samples] for family in families}


def read(store: Store) -> dict[str, list[tuple[Labels, float]]]:
    rates = Rates(store.evidence, GROUPS, Time())
    rates.read()
    return shown(rates)


def one(found: list[tuple[Labels, float]], **labels: str) -> float:
    (value,) = (value for own, value in found if labels.items() <= own.items())
    return value


def is_whole(labels: Labels) -> bool:
    return labels.items() >= WHOLE.items()


def test_they_are_the_reports_figures(store: Store) -> None:
    world(store)
    found = read(store)
    rows = [row for row in collect(store.evidence, Asked(), GROUPS).runs if row.cut.by is not By.LENGTH]
    at_all_lengths = [labels for labels, _ in found["yardstick_shadow_pass_at_1"] if labels["length"] == "all"]
    assert len(at_all_lengths) == len(rows) == 2 * (1 + len(CATEGORIES))
    for row in rows:
        (served,) = row.of.served
        labels = {"family": served.family, "model": served.model, "suite": "five", "category": row.cut.name}
        labels |= {"length": "all"}
        assert row.suite is not None
        assert row.population is not None
        assert one(found["yardstick_shadow_pass_at_1"], **labels, evidence="canary") == row.suite.value
        assert one(found["yardstick_shadow_pass_at_1_completions"], **labels) == row.suite.completions
        assert one(found["yardstick_shadow_pass_at_1_tasks"], **labels) == row.suite.tasks
        for interval, estimate in (("this_suite", row.suite), ("tasks_like_these", row.population)):
            bounds = {
                own["bound"]: value
                for own, value in found["yardstick_shadow_pass_at_1_bound"]
                if (labels | {"interval": interval}).items() <= own.items()
            }
            ends = estimate.interval
            assert bounds == ({"lower": ends.low, "upper": ends.high} if ends is not None else {})
    whole = {own["interval"] for own, _ in found["yardstick_shadow_pass_at_1_bound"] if is_whole(own)}
    assert whole == {"this_suite", "tasks_like_these"}
    assert one(found["yardstick_shadow_store_read_timestamp_seconds"]) == NOON


def test_lengths_are_those_of_the_gateways_other_metrics(store: Store) -> None:
    happened = world(store)
    found = read(store)
    for length, tokens in (("1024", 1000), ("8192", 5000)):
        passes = [first.passed for _, own, first, _ in happened if own == tokens]
        labels = {"model": FIRST.model, "category": "all", "length": length}
        assert one(found["yardstick_shadow_pass_at_1"], **labels) == sum(map(bool, passes)) / len(passes)
        assert one(found["yardstick_shadow_pass_at_1_completions"], **labels) == len(passes) == 40
    parts = [labels for labels, _ in found["yardstick_shadow_pass_at_1"]]
    assert {labels["length"] for labels in parts} == {"all", "1024", "8192"} <= {"all", *names.LENGTHS}
    assert all("all" in (labels["category"], labels["length"]) for labels in parts)


def test_kinds_of_evidence_and_all_else_that_differs_are_apart(store: Store) -> None:
    planting = Planting(store)
    for kind in (Kind.CANARY, Kind.LIVE_EXACT, Kind.LIVE_NEAR):
        planting.pair(of(passed=True), of(passed=False), kind=kind)
    planting.single(of(passed=True), sampling="temperature=0.7")
    planting.done()
    found = read(store)
    whole = [labels for labels, _ in found["yardstick_shadow_pass_at_1"] if is_whole(labels)]
    assert len({tuple(labels.items()) for labels in whole}) == len(whole) == 7
    assert {(labels["model"], labels["evidence"]) for labels in whole} == {
        *((FIRST.model, kind) for kind in ("canary", "live-exact", "live-near")),
        *((SECOND.model, kind) for kind in ("canary", "mirror")),
    }
    about = {labels["stratum"]: labels for labels, _ in found["yardstick_shadow_stratum_info"]}
    assert set(about) == {labels["stratum"] for labels in whole}
    mirrored = [about[labels["stratum"]]["mirrored"] for labels in whole if labels["evidence"] == "mirror"]
    assert sorted(mirrored) == ["live-exact", "live-near"]
    assert {labels["sampling"] for labels in about.values()} == {"", "temperature=0.7"}


def test_what_clients_can_set_is_bounded_in_number_and_length(store: Store) -> None:
    planting = Planting(store)
    for number in range(MOST_STRATA + 5):
        planting.single(of(passed=True), sampling=f"seed={number:0200}")
    for _ in range(2):
        planting.single(of(passed=False), sampling="seed=7")
    planting.done()
    found = read(store)
    assert len(found["yardstick_shadow_stratum_info"]) == MOST_STRATA
    assert one(found["yardstick_shadow_strata_left_out"]) == 6
    assert max(len(value) for rows in found.values() for labels, _ in rows for value in labels.values()) == 120
    assert f"cut at 120 characters and of {MOST_STRATA} strata at most" in page.page()
    seven = next(own["stratum"] for own, _ in found["yardstick_shadow_stratum_info"] if own["sampling"] == "seed=7")
    assert one(found["yardstick_shadow_pass_at_1_completions"], stratum=seven, **WHOLE) == 2


def test_while_the_store_is_away_figures_stay_with_their_time(store: Store, file: Path, tmp_path: Path) -> None:
    world(store)
    clock = Time()
    rates = Rates(store.evidence, GROUPS, clock)
    rates.read()
    before = rates.text
    store.close()  # its connections: the next one finds no store
    clock.now += 60
    for each in (file, file.with_name("store.db-wal"), file.with_name("store.db-shm")):
        if each.exists():
            each.rename(tmp_path / f"away-{each.name}")
    file.mkdir()
    rates.read()
    assert rates.text == before
    file.rmdir()
    for each in tmp_path.glob("away-*"):
        each.rename(tmp_path / each.name.removeprefix("away-"))
    rates.read()
    assert one(shown(rates)["yardstick_shadow_store_read_timestamp_seconds"]) == NOON + 60


def test_before_the_first_reading_their_time_is_0(store: Store) -> None:
    rates = Rates(store.evidence, GROUPS, Time())
    assert one(shown(rates)["yardstick_shadow_store_read_timestamp_seconds"]) == 0
    assert shown(rates)["yardstick_shadow_pass_at_1"] == []


@pytest.mark.parametrize(("took", "pause"), [(0.0, EVERY), (1.0, EVERY), (3.0, 57.0), (60.0, 1140.0)])
def test_a_long_reading_is_made_seldom(took: float, pause: float) -> None:
    assert pause_after(took) == pytest.approx(pause)
