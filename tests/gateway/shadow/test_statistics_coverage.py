"""The intervals cover what they claim: a short form of `coverage.py`, with bounds four standard errors wide."""

from __future__ import annotations

from math import sqrt

import pytest

from tests.gateway.shadow.coverage import (
    World,
    difference_coverage,
    draws_to_find,
    false_alarms,
    fixed_coverage,
    sequence_coverage,
)

RUNS = 400
LEAST, MOST = (share + side * 4 * sqrt(share * (1 - share) / RUNS) for share, side in ((0.945, -1), (0.98, 1)))


@pytest.mark.parametrize("mean", [0.3, 0.8])
@pytest.mark.parametrize("icc", [0.0, 0.6])
@pytest.mark.parametrize(("tasks", "completions"), [(8, 5), (30, 1), (30, 2), (30, 10), (100, 3)])
def test_intervals_cover(tasks: int, completions: int, icc: float, mean: float) -> None:
    suite, population = fixed_coverage(World(tasks, completions, mean, icc), RUNS, seed=1)
    assert (suite is None) == (completions == 1)
    assert (population is None) == (tasks < 30)
    assert all(LEAST < share < MOST for share in (suite, population) if share is not None)


def test_a_few_tasks_with_one_completion_do_no_harm() -> None:
    suite, _ = fixed_coverage(World(100, 2, 0.8, 0.6), RUNS, seed=1, single=0.05)
    assert suite is not None
    assert LEAST < suite < MOST


def test_a_difference_is_covered_and_found() -> None:
    held, found = difference_coverage(World(600, 1, 0.6, 0.3), 100, seed=1)
    assert held > 0.945 - 4 * sqrt(0.945 * 0.055 / 100)
    assert found > 0.85


def test_mcnemar_raises_few_false_alarms() -> None:
    assert false_alarms(World(100, 1, 0.6, 0.6), RUNS, seed=1) < 0.05 + 4 * sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize("icc", [0.0, 0.6])
def test_a_sequence_covers_its_whole_path(icc: float) -> None:
    held = sequence_coverage(World(1, 1, 0.6, icc), 200, 500, seed=1, deficit=0.1)
    assert held > 0.95 - 4 * sqrt(0.95 * 0.05 / 200)


def test_a_sequence_finds_a_deficit() -> None:
    needed = sorted(draws_to_find(World(1, 1, 0.6, 0.3), 50, 2500, seed=1))
    assert needed[40] <= 2000
