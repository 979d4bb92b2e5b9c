"""The sampling design and its draws: exact propensities, and draws that follow them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from math import fsum, isclose, log, sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.shadow.canary.design import Design, NothingToDraw, design
from gateway.shadow.canary.draw import draw
from gateway.shadow.canary.mix import LiveMix
from gateway.shadow.canary.prompt import prompt_of
from gateway.shadow.match.matcher import Form
from gateway.shadow.suites.task import by_id
from tests.gateway.shadow.canary.worlds import BUCKETS, FIVE, FIVE_LENGTHS, designed, lengths_of, mixes, plan

INFLATED = {"inflation": {"enabled": True}}
PLANS: list[dict[str, Any]] = [
    {},
    INFLATED,
    {**INFLATED, "longest": 5_000, "uniform_share": 1},
    {**INFLATED, "forms": ["instruct"]},
    {"lengths": BUCKETS, **INFLATED},
    {"lengths": BUCKETS, "inflation": {"enabled": True, "targets": [4_096, 8_192]}},
    {"lengths": [{"up_to": 2_048, "weight": 1}]},
]
LONGEST_OWN = max(FIVE_LENGTHS.values())


def live(*, tokens: int = 300, libraries: tuple[str, ...] = (), form: Form = Form.INSTRUCT, times: int = 1) -> LiveMix:
    mix = LiveMix()
    mix.observe(tokens, libraries, form, stands_for=times)
    return mix


def by_task(design: Design) -> dict[str, float]:
    chances: dict[str, float] = defaultdict(float)
    for _, choice, propensity in design.propensities():
        chances[choice.task_id] += propensity
    return chances


@settings(max_examples=60, deadline=None)
@given(mixes(), st.sampled_from(PLANS))
def test_propensities_sum_to_one_for_any_mix(mix: LiveMix, plan: dict[str, Any]) -> None:
    design = designed(plan, mix)
    chances = [propensity for _, _, propensity in design.propensities()]
    assert isclose(fsum(chances), 1, abs_tol=1e-9)
    assert min(chances) > 0
    cells = [(stratum.start, stratum.form, choice.task_id) for stratum, choice, _ in design.propensities()]
    assert len(set(cells)) == len(cells)
    assert 0 <= design.uncovered <= 1


@settings(max_examples=60, deadline=None)
@given(mixes(), st.sampled_from(PLANS), st.integers(0, 2**40))
def test_a_draw_is_within_its_bucket_and_knows_its_propensity(mix: LiveMix, plan: dict[str, Any], number: int) -> None:
    design = designed(plan, mix)
    drawn = draw(design, number)
    assert drawn == draw(design, number)
    assert drawn.start < drawn.tokens <= drawn.up_to
    own = FIVE_LENGTHS[drawn.task_id, drawn.form]
    assert drawn.tokens == own if drawn.target is None else drawn.target >= own + 320
    (known,) = [
        propensity
        for stratum, choice, propensity in design.propensities()
        if (stratum.start, stratum.form, choice.task_id) == (drawn.start, drawn.form, drawn.task_id)
    ]
    assert drawn.propensity == known


@pytest.mark.parametrize("plan", [INFLATED, PLANS[-1]])
def test_draws_follow_their_propensities(plan: dict[str, Any]) -> None:
    mix = live(tokens=300, libraries=("json",)).merged(live(tokens=5_000, form=Form.COMPLETE, times=2))
    design = designed(plan, mix)
    draws = 6_000
    seen = Counter((d.start, d.form, d.task_id) for d in (draw(design, number) for number in range(draws)))
    expected = {(s.start, s.form, c.task_id): p * draws for s, c, p in design.propensities()}
    assert seen.keys() <= expected.keys()
    cells = [cell for cell in expected if expected[cell] >= 5]
    rest = sum(expected.values()) - sum(expected[cell] for cell in cells)
    squares = [(seen[cell] - expected[cell]) ** 2 / expected[cell] for cell in cells]
    assert rest < 0.5 * draws
    freedom = len(cells) - 1
    assert len(cells) > 50
    assert sum(squares) < freedom + 3.5 * sqrt(2 * freedom)


def test_draws_are_independent_of_their_neighbours() -> None:
    design = designed(INFLATED, live(form=Form.COMPLETE))
    forms = [draw(design, number).form is Form.COMPLETE for number in range(4_000)]
    share = sum(forms) / len(forms)
    together = sum(a and b for a, b in pairwise(forms)) / (len(forms) - 1)
    assert abs(together - share**2) < 4 * share * (1 - share) / sqrt(len(forms))


def test_other_seeds_and_other_mixes_are_other_draws() -> None:
    designs = [designed({}, live()), designed({"seed": 1}, live()), designed({}, live(libraries=("json",)))]
    assert len({design.digest for design in designs}) == 3
    assert len({draw(design, number).id for design in designs for number in range(100)}) == 300
    assert designed({}, live()).digest == designs[0].digest
    assert designed({"enabled": False, "rate": {"per_hour": 1}}, live()).digest == designs[0].digest


def test_every_process_draws_the_same() -> None:
    """Names hash differently in each process, and sums of floats depend on their order."""
    script = (
        "from gateway.shadow.canary.draw import draw; from tests.gateway.shadow.canary.test_design import *;"
        "made = designed(INFLATED, live(libraries=('json', 'datetime', 're', 'collections'), times=7));"
        "print(made.digest, draw(made, 5))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_tasks_import_what_live_prompts_import() -> None:
    users = {task.task_id for task in FIVE.tasks.values() if "datetime" in task.libs}
    assert 0 < len(users) < 20
    mix = live(libraries=("datetime",), times=800).merged(live(libraries=("numpy",), times=200))
    chances = by_task(designed({"lengths": [{"up_to": 2_048, "weight": 1}], "uniform_share": 0.2}, mix))
    # No task of this suite uses numpy, so its 200 requests may be any task's.
    expected = 0.8 * 0.8 + (0.2 + 0.8 * 0.2) * len(users) / len(FIVE.tasks)
    assert isclose(fsum(chances[task] for task in users), expected, rel_tol=1e-9)
    assert min(chances.values()) >= 0.2 / len(FIVE.tasks) - 1e-12


def test_forms_are_those_of_live_prompts() -> None:
    mix = live(form=Form.COMPLETE, times=29).merged(live(form=Form.CHAT, times=69))
    design = designed({"lengths": [{"up_to": 2_048, "weight": 1}]}, mix)
    assert {stratum.form: stratum.chance for stratum in design.strata} == {Form.COMPLETE: 0.3, Form.INSTRUCT: 0.7}


def test_lengths_are_those_of_live_prompts() -> None:
    mix = live(tokens=3_000, times=30).merged(live(tokens=12_000, times=50)).merged(live(tokens=100_000, times=20))
    design = designed(INFLATED, mix)
    shares: dict[int, float] = defaultdict(float)
    for stratum in design.strata:
        shares[stratum.up_to] += stratum.chance
    assert {up_to: round(share, 9) for up_to, share in shares.items()} == {4_096: 0.375, 16_384: 0.625}
    assert isclose(design.uncovered, 0.2)
    targets = [draw(design, number).target or 0 for number in range(300)]
    assert min(targets) < 3_100
    assert max(targets) > 15_500


def test_the_longest_prompt_cuts_the_last_bin() -> None:
    design = designed({**INFLATED, "longest": 13_000}, live(tokens=12_000))
    assert {stratum.up_to for stratum in design.strata} == {13_000}
    assert isclose(design.uncovered, 1 - log(13_000 / 11_585) / log(16_384 / 11_585))


def test_without_live_prompts_lengths_are_the_tasks_own() -> None:
    design = designed(INFLATED, LiveMix())
    assert design.uncovered == 1
    assert max(draw(design, number).start for number in range(100)) < LONGEST_OWN


def test_targets_are_hit_by_any_task() -> None:
    design = designed(PLANS[5], LiveMix())
    long = [stratum for stratum in design.strata if stratum.start == 2_048]
    assert all(len(stratum.choices) == len(FIVE.tasks) for stratum in long)
    drawn = [draw(design, number) for number in range(400)]
    assert {d.target for d in drawn} == {None, 4_096, 8_192}
    assert {d.start for d in drawn if d.target} == {2_048}


def test_a_form_that_a_task_lacks_is_not_drawn() -> None:
    """HumanEval has no instruct prompts."""
    bare = replace(FIVE, tasks=by_id(replace(task, instruct_prompt="") for task in FIVE.tasks.values()))
    made = design(plan(**INFLATED), bare, lengths_of(bare), live(tokens=3_000))
    assert {stratum.form for stratum in made.strata} == {Form.COMPLETE}
    with pytest.raises(NothingToDraw):
        design(plan(forms=["instruct"]), bare, lengths_of(bare), live())
    with pytest.raises(ValueError, match="has no instruct prompt"):
        prompt_of(next(iter(bare.tasks.values())), Form.INSTRUCT)


def test_a_declared_bucket_without_tasks_is_refused() -> None:
    with pytest.raises(NothingToDraw, match=r"no task has 2,049 to 8,192 tokens: switch inflation on"):
        designed({"lengths": BUCKETS}, LiveMix())
    with pytest.raises(NothingToDraw, match="within `longest`"):
        designed({"longest": 20}, LiveMix())
