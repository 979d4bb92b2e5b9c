"""A small planted truth, end to end over HTTP. Nothing is asserted that luck decides: the servers' draws are known."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.shadow.threshold.recommendation import Limit, Status
from tests.fakes.gateway import LONG, SHORT
from tests.gateway.shadow.planted.coverage import Cell, cells, clopper_pearson, coverage, verdicts
from tests.gateway.shadow.planted.looks import answer_at_the_end
from tests.gateway.shadow.planted.run import DELTA, MODELS, Run, one_run
from tests.gateway.shadow.planted.system import FIVE, Planted
from tests.gateway.shadow.planted.thresholds import CROSSOVER, INFEASIBLE, fill, recommended
from tests.gateway.shadow.planted.worlds import as_claimed, table, without_difference
from tests.gateway.shadow.walls import need_any

PAIRS = 60
LONG_PAIRS = 140
"""So many tell enough of 40 tasks."""
SEED = 7


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Run, dict[str, Planted]]]:
    """One with the table's rates, one without a difference, at the same time: mostly they wait for the next draw."""
    need_any()
    folder = tmp_path_factory.mktemp("planted")
    worlds = {"claimed": as_claimed(SEED, 0.4), "null": without_difference(SEED, 0.4)}
    with ThreadPoolExecutor(2) as pool:
        made = [
            pool.submit(one_run, folder / name, name, planted, seed=SEED, icc=0.4, form="instruct", pairs=PAIRS)
            for name, planted in worlds.items()
        ]
        return list(zip((each.result() for each in made), worlds.values(), strict=True))


@pytest.mark.timeout(600)
def test_every_verdict_is_what_the_server_meant(runs: list[tuple[Run, dict[str, Planted]]]) -> None:
    for run, planted in runs:
        found = verdicts(run, planted)
        assert found.wrong == 0
        assert found.answers > PAIRS
        assert len(run.draws) >= PAIRS
        assert [draw.propensity for draw in run.draws] == pytest.approx([1 / len(FIVE.tasks)] * len(run.draws))
        assert run.rates == {
            model: {name: known.solved_rate for name, known in planted[model].book(model).known.items()}
            for model in MODELS
        }


@pytest.mark.timeout(600)
def test_the_report_counts_each_draw(runs: list[tuple[Run, dict[str, Planted]]]) -> None:
    for run, _ in runs:
        rows = {row["served"]["model"]: row for row in run.report["runs"] if row["by"] == "all"}
        for place, model in enumerate(MODELS):
            passed = Counter((draw.first, draw.second)[place] for draw in run.draws)
            assert rows[model]["outcomes"]["pass"] == passed[True]
            assert rows[model]["outcomes"]["fail"] + rows[model]["outcomes"]["timeout"] == passed[False]
        assert run.checks["canonical"]["failed"] == run.checks["known_bad"]["passed"] == run.checks["flipped"] == 0
        assert {cell.part for cell in cells(run)} == {"all", *table(SHORT)}


@pytest.mark.timeout(600)
def test_the_gate_says_what_its_replay_says(runs: list[tuple[Run, dict[str, Planted]]]) -> None:
    for run, _ in runs:
        assert run.gate["exit_code"] == answer_at_the_end(run, DELTA)


@pytest.mark.timeout(600)
def test_where_the_short_family_solves_nothing_and_the_long_pool_is_too_small(tmp_path: Path) -> None:
    """The short family solves nothing and the long one everything, so that no verdict is left to luck."""
    need_any()
    nothing, everything = (Planted(SEED, by_task=dict.fromkeys(FIVE.tasks, rate)) for rate in (0.0, 1.0))
    fill(tmp_path, {SHORT: nothing, LONG: everything}, SEED, pairs=LONG_PAIRS, lengths=(2_040,))
    quickly = ("--requests", "200", "--candidate", "1448", "--candidate", "2048")
    told = recommended(tmp_path, *INFEASIBLE.options, *quickly, traffic=range(1_500, 2_040))
    # What was under way at the gateway's end has no verdict; of one pair in one run a verdict was missing otherwise.
    assert told["evidence"]["pairs"] >= LONG_PAIRS - 4
    assert told["evidence"]["dropped"] <= 4
    assert (told["status"], told["exit_code"]) == (Status.INFEASIBLE, 1), told["reasons"]
    assert told["conflict"] == [Limit.QUALITY, Limit.LONG_UTILISATION]
    assert {row["threshold"]: row["fitted"] for row in told["candidates"]}[2_048] == -1
    told = recommended(tmp_path, *CROSSOVER.options, *quickly, traffic=range(1_500, 2_040))  # an eighth of the rate
    assert (told["status"], told["exit_code"]) == (Status.RECOMMENDED, 0), told["reasons"]
    assert told["threshold"] == told["quality_alone"] == 0


def test_coverage_counts_what_is_given() -> None:
    def cell(run: str, low: float | None, high: float | None) -> Cell:
        return Cell(run, SHORT, "all", "this_suite", 0.5, low, high)

    found = coverage([cell("a", 0.4, 0.6), cell("a", 0.6, 0.7), cell("b", 0.5, 0.5), cell("b", None, None)])
    assert (found.covered, found.given, found.refused) == (2, 3, 1)
    assert found.by_run is not None
    assert not coverage([cell(str(number), 0.4, 0.6 if number < 15 else 0.45) for number in range(20)]).consistent


def test_exact_intervals() -> None:
    """The ends that R's binom.test gives for 19 of 20, and those that can be worked out by hand."""
    assert clopper_pearson(19, 20) == pytest.approx((0.7512672, 0.9987349), abs=1e-6)
    assert clopper_pearson(20, 20) == pytest.approx((0.025 ** (1 / 20), 1.0))
    assert clopper_pearson(0, 20) == pytest.approx((0.0, 1 - 0.025 ** (1 / 20)))
