"""pass@k, t quantiles, intervals, paired tests and sequences against published values and plain definitions."""

from __future__ import annotations

from itertools import combinations
from math import log, sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.statistics.betting import ConfidenceSequence
from gateway.shadow.statistics.intervals import tasks_like_these, this_suite
from gateway.shadow.statistics.paired import mcnemar, paired_difference
from gateway.shadow.statistics.student import incomplete_beta, two_sided_t
from gateway.shadow.statistics.tally import Tally, mean_pass_at_k, pass_at_k

tallies = st.lists(
    st.integers(1, 12).flatmap(lambda n: st.builds(Tally, st.integers(0, n), st.just(n))), min_size=1, max_size=60
)


@pytest.mark.parametrize(
    ("passed", "completions", "k"), [(0, 5, 2), (1, 5, 2), (3, 6, 2), (2, 7, 5), (4, 4, 1), (5, 9, 9)]
)
def test_pass_at_k_is_the_share_of_choices_that_contain_a_pass(passed: int, completions: int, k: int) -> None:
    choices = list(combinations([True] * passed + [False] * (completions - passed), k))
    assert pass_at_k(Tally(passed, completions), k) == pytest.approx(sum(map(any, choices)) / len(choices))


def test_every_task_counts_the_same() -> None:
    assert mean_pass_at_k([Tally(1, 1), Tally(0, 10)]) == 0.5


@pytest.mark.parametrize("k", [0, 6])
def test_pass_at_k_says_what_it_lacks(k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k} needs at least {max(k, 1)} completions"):
        pass_at_k(Tally(1, 5), k)


@pytest.mark.parametrize(("passed", "completions"), [(1, 0), (0, 0), (-1, 3), (4, 3)])
def test_an_impossible_tally_is_refused(passed: int, completions: int) -> None:
    with pytest.raises(ValueError, match="a task needs at least one"):
        Tally(passed, completions)


@pytest.mark.parametrize(
    ("confidence", "degrees", "published"),
    # The usual table (for example NIST/SEMATECH e-Handbook 1.3.6.7.2), two-sided.
    [
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 9, 2.262),
        (0.95, 29, 2.045),
        (0.95, 100, 1.984),
        (0.99, 5, 4.032),
        (0.90, 30, 1.697),
        (0.998, 10, 4.144),
        (0.95, 10_000_000, 1.960),
    ],
)
def test_t_quantiles_are_the_published_ones(confidence: float, degrees: int, published: float) -> None:
    assert two_sided_t(confidence, degrees) == pytest.approx(published, abs=6e-4)


def test_incomplete_beta_is_the_binomial_tail() -> None:
    """I_x(k, n-k+1) = P(at least k of n): 1 - .7^3 for one of three."""
    assert incomplete_beta(1, 3, 0.3) == pytest.approx(1 - 0.7**3, abs=1e-14)
    assert incomplete_beta(3, 1, 0.3) == pytest.approx(0.3**3, abs=1e-15)


@given(tallies)
def test_intervals_hold_their_estimate_and_stay_rates(tasks: list[Tally]) -> None:
    for estimate in (this_suite(tasks), tasks_like_these(tasks)):
        if estimate.interval is None:
            assert estimate.missing.startswith("not enough: ")
        else:
            assert 0 <= estimate.interval.low <= estimate.value <= estimate.interval.high <= 1
            assert estimate.interval.low < estimate.interval.high


def test_one_completion_a_task_says_nothing_of_its_own_chance() -> None:
    estimate = this_suite([Tally(1, 1)] * 40)
    assert (estimate.value, estimate.interval) == (1.0, None)
    assert estimate.missing.startswith("not enough: 40 of 40 tasks have one completion")
    assert "run tasks twice or more" in estimate.missing
    assert this_suite([Tally(1, 2)] * 38 + [Tally(1, 1)] * 2).interval is not None
    assert this_suite([Tally(1, 2)] * 37 + [Tally(1, 1)] * 3).interval is None


@pytest.mark.parametrize(("tasks", "completions"), [(7, 10), (19, 2)])
def test_a_suite_needs_enough_tasks_and_completions(tasks: int, completions: int) -> None:
    assert this_suite([Tally(1, completions)] * tasks).missing == "not enough: 8 tasks and 40 completions are the least"
    assert this_suite([Tally(1, completions)] * (tasks + 1)).interval is not None


def test_tasks_like_these_need_thirty() -> None:
    estimate = tasks_like_these([Tally(1, 1)] * 29)
    assert (estimate.interval, estimate.tasks) == (None, 29)
    assert estimate.missing.startswith("not enough: 29 tasks")
    assert tasks_like_these([Tally(1, 1)] * 30).interval is not None


@pytest.mark.parametrize("passed", [0, 1])
def test_unanimous_tasks_are_not_certain(passed: int) -> None:
    few, many = ([Tally(passed * 5, 5)] * tasks for tasks in (30, 300))
    for estimate_of in (this_suite, tasks_like_these):
        wide, narrow = estimate_of(few).interval, estimate_of(many).interval
        assert wide is not None
        assert narrow is not None
        assert 0 < narrow.high - narrow.low < (wide.high - wide.low) / 5


def test_repeats_of_a_task_narrow_the_suite_but_not_tasks_like_these() -> None:
    random = Random(1)
    chances = [random.betavariate(0.5, 0.5) for _ in range(100)]
    widths = []
    for repeats in (5, 200):
        tasks = [Tally(sum(random.random() < chance for _ in range(repeats)), repeats) for chance in chances]
        for estimate in (this_suite(tasks), tasks_like_these(tasks)):
            assert estimate.interval is not None
            widths.append(estimate.interval.high - estimate.interval.low)
    suite, population, suite_more, population_more = widths
    assert suite_more < suite / 5
    assert population_more > population * 0.8


def test_a_difference_needs_enough_tasks() -> None:
    estimate = paired_difference([(Tally(1, 1), Tally(0, 1))] * 29)
    assert (estimate.value, estimate.interval) == (1.0, None)
    assert estimate.missing.startswith("not enough: 29 tasks")


def test_families_that_always_agree_may_still_differ() -> None:
    interval = paired_difference([(Tally(1, 1), Tally(1, 1))] * 30).interval
    assert interval is not None
    assert interval.low < -0.05
    assert interval.high > 0.05


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 6, 2 / 64), (6, 0, 2 / 64), (1, 8, 20 / 512)]
)
def test_mcnemar_counts_discordant_tasks_as_coin_tosses(wins: int, losses: int, p: float) -> None:
    outcomes = [(True, False)] * wins + [(False, True)] * losses + [(True, True)] * 20
    assert mcnemar({str(task): outcome for task, outcome in enumerate(outcomes)}) == pytest.approx(p)


def stake(past: list[float]) -> float:
    """The paper's plug-in bet, anew from the whole past."""
    means = [(0.5 + sum(past[:i])) / (i + 1) for i in range(1, len(past) + 1)]
    t = len(past) + 1
    variance = (0.25 + sum((x - mean) ** 2 for x, mean in zip(past, means, strict=True))) / t
    return sqrt(2 * log(2 / 0.05) / (variance * t * log(1 + t)))


def test_the_sequence_is_the_papers_at_every_draw() -> None:
    random, sequence = Random(3), ConfidenceSequence(steps=100)
    values: list[float] = []
    grid = [step / 100 for step in range(1, 100)]
    above, below = dict.fromkeys(grid, 1.0), dict.fromkeys(grid, 1.0)
    lower, upper = 0.0, 1.0
    for _ in range(80):
        bet = stake(values)
        values.append(random.choice([0.0, 0.5, 1.0, 1.0, 1.0, 1.0]))
        sequence.add(values[-1])
        for mean in grid:
            above[mean] *= 1 + min(bet, 0.5 / mean) * (values[-1] - mean)
            below[mean] *= 1 - min(bet, 0.5 / (1 - mean)) * (values[-1] - mean)
        lower = max([lower, *(mean for mean in grid if above[mean] >= 40)])
        upper = min([upper, *(mean for mean in grid if below[mean] >= 40)])
        assert (sequence.lower, sequence.upper) == (lower, upper)
    assert 0.4 < lower < 0.82 < upper


def test_a_sequence_closes_in_on_the_mean_of_differences() -> None:
    random, sequence = Random(5), ConfidenceSequence(-1, 1)
    assert (sequence.lower, sequence.upper) == (-1, 1)
    assert not any(map(sequence.excludes, (-1, 0, 1)))
    for _ in range(3000):
        before = (sequence.lower, sequence.upper)
        sequence.add(random.choices((-1, 0, 1), (0.3, 0.6, 0.1))[0])
        assert before[0] <= sequence.lower < sequence.upper <= before[1]
    assert -0.3 < sequence.lower < -0.2 < sequence.upper < -0.1
    assert sequence.excludes(0)
    assert sequence.excludes(sequence.upper)
    assert not sequence.excludes(-0.2)


def test_a_wide_grid_only_widens() -> None:
    random, fine, coarse = Random(7), ConfidenceSequence(), ConfidenceSequence(steps=10)
    for _ in range(500):
        value = random.random()
        fine.add(value)
        coarse.add(value)
    assert coarse.lower <= fine.lower < fine.upper <= coarse.upper


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_a_draw_out_of_bounds_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="is not within"):
        ConfidenceSequence().add(value)
