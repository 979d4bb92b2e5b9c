"""Recommendations from evidence without chance in it, one constraint at a time."""

from __future__ import annotations

from math import log
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.shadow.threshold.inputs import Constraints, Costs, LivePrompt, Load, PoolLoad, TaskDifference
from gateway.shadow.threshold.recommend import recommend
from gateway.shadow.threshold.recommendation import Limit, Recommendation, Status

IDLE = PoolLoad(ttft_p99=0.1, itl_p99=0.01, utilisation=0.1)
BUSY = PoolLoad(ttft_p99=9.0, itl_p99=0.01, utilisation=0.1)
EDGES = (0, 100, 200, 400, 800)
LENGTHS = (50, 150, 300, 600)
CHEAP_SHORT = Costs(short=lambda prompt, output: 1.0, long=lambda prompt, output: 10.0)
TRAFFIC = [LivePrompt(length, 10, f"hour {hour}") for hour in range(6) for length in (*LENGTHS, 1600) for _ in range(4)]


def tasks(differences: dict[int, tuple[float, ...]], each: int = 60) -> list[TaskDifference]:
    """For each length so many tasks, with these differences in turn."""
    return [
        TaskDifference(f"{length}/{place}", length, found[place % len(found)])
        for length, found in differences.items()
        for place in range(each)
    ]


LEVEL = (0.5, -0.5)
"""As good, on average."""
WORSE = (-0.5, -0.5, 0.0)
BETTER = (0.5, 0.5, 0.0)


def constraints(**changes: object) -> Constraints:
    given: dict[str, object] = {
        "candidates": EDGES,
        "delta": 0.15,
        "load": lambda threshold: Load(IDLE, IDLE),
        "most_ttft_p99": 1.0,
        "most_itl_p99": 0.1,
        "most_utilisation": 0.8,
        "short_window": 2_048,
        "reserved_output": 512,
        "replicates": 200,
    }
    return Constraints(**given | changes)  # type: ignore[arg-type]


def answer(
    evidence: list[TaskDifference], costs: Costs = CHEAP_SHORT, traffic: list[LivePrompt] = TRAFFIC, **changes: object
) -> Recommendation:
    return recommend(evidence, traffic, costs, constraints(**changes), Random(1))


def test_without_a_loss_the_cheapest_is_taken() -> None:
    found = answer(tasks(dict.fromkeys(LENGTHS, LEVEL)))
    assert (found.status, found.threshold, found.binding) == (Status.RECOMMENDED, 800, ())
    assert (found.stops_larger, found.stops_smaller) == (("no candidate",), ("cost",))
    chosen = found.chosen
    assert chosen is not None
    assert (chosen.share, chosen.cost) == (pytest.approx(0.8), pytest.approx(0.2 * 10 + 0.8))
    assert (chosen.loss, chosen.upper > 0) == (0, True)
    assert [row.feasible for row in found.candidates] == [True] * 5


def test_quality_stops_a_larger_threshold() -> None:
    found = answer(tasks({50: LEVEL, 150: LEVEL, 300: LEVEL, 600: (-1.0,)}))
    assert (found.threshold, found.binding, found.stops_larger) == (400, (Limit.QUALITY,), ("quality",))
    assert found.candidates[4].loss == pytest.approx(0.25)


def test_gains_make_up_for_losses_unless_the_tail_is_limited() -> None:
    evidence = tasks({50: BETTER, 150: BETTER, 300: LEVEL, 600: WORSE})
    free = answer(evidence)
    assert (free.threshold, free.quality_alone) == (800, 200)
    assert any(reason.startswith("just below T it loses 0.333") for reason in free.reasons)
    limited = answer(evidence, most_tail_loss=0.1)
    assert (limited.threshold, limited.binding) == (400, (Limit.TAIL,))


def test_where_the_long_family_always_wins_cost_decides() -> None:
    evidence = tasks(dict.fromkeys(LENGTHS, (-0.1, 0.0)), each=100)
    found = answer(evidence)
    assert (found.quality_alone, found.crossover, found.threshold) == (0, (0, 0), 800)
    assert "by quality alone T = 0: the long family is as good or better at every length" in found.reasons
    dear = answer(evidence, costs=Costs(short=lambda prompt, output: 20.0, long=lambda prompt, output: 10.0))
    assert (dear.threshold, dear.stops_larger, dear.binding) == (0, ("cost",), ())


def test_cost_alone_may_stop_in_between() -> None:
    costs = Costs(short=lambda prompt, output: prompt / 100, long=lambda prompt, output: 2.0 + output / 100)
    found = answer(tasks(dict.fromkeys(LENGTHS, LEVEL)), costs=costs)
    assert (found.threshold, found.binding, found.stops_larger, found.stops_smaller) == (200, (), ("cost",), ("cost",))


@pytest.mark.parametrize(
    ("load", "limit"),
    [
        (lambda threshold: Load(BUSY if threshold > 200 else IDLE, IDLE), Limit.SHORT_TTFT),
        (lambda threshold: Load(PoolLoad(0, 0.2, 0) if threshold > 200 else IDLE, IDLE), Limit.SHORT_ITL),
        (lambda threshold: Load(PoolLoad(0, 0, 0.9) if threshold > 200 else IDLE, IDLE), Limit.SHORT_UTILISATION),
    ],
)
def test_a_busy_short_pool_stops_a_larger_threshold(load: object, limit: Limit) -> None:
    found = answer(tasks(dict.fromkeys(LENGTHS, LEVEL)), load=load)
    assert (found.threshold, found.binding, found.stops_larger) == (200, (limit,), (limit.value,))


def test_a_busy_long_pool_stops_a_smaller_threshold() -> None:
    dear_short = Costs(short=lambda prompt, output: 20.0, long=lambda prompt, output: 10.0)
    table = {edge: Load(IDLE, IDLE if edge >= 400 else BUSY) for edge in EDGES}
    found = answer(tasks(dict.fromkeys(LENGTHS, LEVEL)), costs=dear_short, load=table.__getitem__)
    assert (found.threshold, found.binding) == (400, (Limit.LONG_TTFT,))
    assert (found.stops_smaller, found.stops_larger) == (("TTFT of the long pool",), ("cost",))


def test_the_short_window_holds_the_answer_too() -> None:
    found = answer(tasks(dict.fromkeys(LENGTHS, LEVEL)), short_window=912)
    assert (found.threshold, found.binding) == (400, (Limit.WINDOW,))


def test_limits_that_conflict_are_named() -> None:
    table = {edge: Load(IDLE, IDLE if edge >= 400 else BUSY) for edge in EDGES}
    found = answer(tasks(dict.fromkeys(LENGTHS, WORSE)), load=table.__getitem__)
    assert (found.status, found.threshold, found.chosen) == (Status.INFEASIBLE, None, None)
    assert found.conflict == (Limit.QUALITY, Limit.LONG_TTFT)
    assert found.reasons[0] == "no feasible T: quality allows 0; TTFT of the long pool allows 400 to 800"
    alone = answer(tasks(dict.fromkeys(LENGTHS, LEVEL)), load=lambda threshold: Load(IDLE, BUSY))
    assert alone.conflict == (Limit.LONG_TTFT,)
    assert alone.reasons[0] == "no feasible T: TTFT of the long pool allows none"


def test_thin_evidence_is_refused() -> None:
    few = answer(tasks(dict.fromkeys(LENGTHS, LEVEL), each=7))
    assert (few.status, few.threshold, round(few.effective)) == (Status.REFUSED, None, 28)
    assert few.reasons[0].startswith("refused: weighted to be as long as traffic is, the tasks are worth 28 at most")
    elsewhere = answer(tasks({50: LEVEL}) + tasks({600: LEVEL}, each=4))
    assert elsewhere.status is Status.RECOMMENDED  # up to 100 tokens there is enough
    assert elsewhere.threshold == 100
    assert elsewhere.candidates[3].uncovered == pytest.approx(2 / 3)


def test_a_task_at_several_lengths_is_one_task() -> None:
    inflated = [TaskDifference(f"task {number}", length, 0.0) for number in range(20) for length in LENGTHS]
    found = answer(inflated)
    assert (found.tasks, round(found.effective), found.status) == (20, 20, Status.REFUSED)


def test_families_that_never_differed_are_not_taken_to_be_equal() -> None:
    found = answer(tasks(dict.fromkeys(LENGTHS, (0.0,)), each=10), delta=0.05)
    assert found.candidates[4].upper == pytest.approx(-log(0.05) / 40)
    assert (found.threshold, found.binding) == (0, (Limit.QUALITY,))


def test_a_small_threshold_is_allowed_by_what_is_known_of_a_larger_one() -> None:
    """The difference is taken never to rise with length: no loss is more than one over longer prompts as well."""
    found = answer(tasks({50: LEVEL}, each=8) + tasks({150: LEVEL, 300: LEVEL, 600: LEVEL}))
    assert found.candidates[1].effective == pytest.approx(8)
    assert found.candidates[1].feasible


def test_weights_of_prompts_count() -> None:
    heavy = [LivePrompt(50, 10, f"hour {hour}", weight=3.0) for hour in range(4)]
    light = [LivePrompt(600, 10, f"hour {hour}") for hour in range(4)]
    assert answer(tasks(dict.fromkeys(LENGTHS, LEVEL)), traffic=heavy + light).candidates[1].share == 0.75


@pytest.mark.parametrize(
    ("evidence", "traffic", "message"),
    [
        ([], TRAFFIC, "no task has a difference"),
        ([TaskDifference("a", 900, 0.0)], TRAFFIC, "no task has a difference"),
        (tasks({50: LEVEL}), [LivePrompt(50, 10, "hour 0")], "give at least two"),
    ],
)
def test_nothing_to_weigh_is_an_error(evidence: list[TaskDifference], traffic: list[LivePrompt], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        answer(evidence, traffic=traffic)


@pytest.mark.parametrize("wrong", [{"candidates": ()}, {"candidates": (-1, 5)}, {"delta": 0}, {"replicates": 10}])
def test_constraints_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"threshold is a number|delta is in"):
        constraints(**wrong)


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=40, max_size=80), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_what_is_recommended_is_feasible_and_cheapest(found: list[float], seed: int) -> None:
    evidence = [TaskDifference(str(place), LENGTHS[place % 4], value) for place, value in enumerate(found)]
    asked = constraints(replicates=100)
    once = recommend(evidence, TRAFFIC, CHEAP_SHORT, asked, Random(seed))
    assert once == recommend(evidence, TRAFFIC, CHEAP_SHORT, asked, Random(seed))
    uppers = [row.upper for row in once.candidates[1:]]
    assert uppers == sorted(uppers)
    feasible = [row for row in once.candidates if row.feasible]
    if once.status is Status.RECOMMENDED:
        chosen = once.chosen
        assert chosen is not None
        assert chosen.cost == min(row.cost for row in feasible)
        assert chosen.threshold in once.within_regret
        assert set(once.within_regret) <= {row.threshold for row in feasible}
    assert once.crossover[0] <= once.crossover[1]
