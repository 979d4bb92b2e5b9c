"""The gate's answers, one reason at a time, and what has to be true of any stream."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.shadow.gate.decide import Gate, decide
from gateway.shadow.gate.decision import Answer
from gateway.shadow.gate.draws import Control, Event, Kind, Outcome, Pair, Rerun, StreamKey
from gateway.shadow.gate.policy import Policy
from tests.gateway.shadow.gate.worlds import (
    FIRST,
    KEY,
    LENGTHS,
    POLICY,
    TWO_BUCKETS,
    controls,
    pair,
    reruns,
    stream,
)

ONE_BUCKET = Policy.from_yaml(POLICY.split("buckets:")[0] + "buckets: [{up_to: 4096, weight: 1}]")
RELAXED = TWO_BUCKETS.model_copy(update={"least_reruns": 0, "pairs_per_control": 1_000_000})
OTHER_KEY = replace(KEY, sandbox="image:2")


def checked(pairs: list[Pair], key: StreamKey = KEY) -> list[Event]:
    """The pairs, with all the controls and re-runs that the policy asks for."""
    events: list[Event] = [*controls(key), *reruns(key=key)]
    for place, drawn in enumerate(pairs):
        events.append(drawn)
        if place % 50 == 49:
            events += controls(key)
    return events


def both(difference: int, count: int, key: StreamKey = KEY) -> list[Pair]:
    return [pair(difference, length, key) for _ in range(count) for length in LENGTHS]


def test_families_that_always_agree_hold() -> None:
    decision = decide(checked(both(0, 400)), TWO_BUCKETS)
    assert (decision.exit_code, decision.answer) == (0, Answer.HOLDS)
    for report in decision.buckets:
        assert (report.n, report.mean, report.discordant, report.needed) == (400, 0.0, 0, 0)
        assert -0.05 <= report.bounds.lower < 0 < report.bounds.upper
        assert report.joint.lower <= report.bounds.lower
    assert decision.overall is not None
    assert decision.overall[0] == 0


def test_one_bad_bucket_is_a_violation() -> None:
    pairs = [drawn for _ in range(400) for drawn in (pair(0), pair(-1, LENGTHS[1]))]
    decision = decide(checked(pairs), TWO_BUCKETS)
    assert decision.exit_code == 1
    assert [report.answer for report in decision.buckets] == [Answer.HOLDS, Answer.VIOLATED]
    assert any("2,049 to 8,192 tokens: the difference is below -0" in reason for reason in decision.reasons)


def test_one_undecided_bucket_leaves_all_undecided() -> None:
    decision = decide(checked([pair(0) for _ in range(400)]), TWO_BUCKETS)
    assert decision.exit_code == 2
    assert decision.overall is None
    first, second = decision.buckets
    assert (first.needed, second.n, second.mean) == (0, 0, None)
    assert second.needed
    assert f"about {second.needed:,} pairs more are expected" in " ".join(decision.reasons)


def test_without_draws_nothing_is_known() -> None:
    decision = decide([], TWO_BUCKETS)
    assert (decision.exit_code, decision.stream, decision.key) == (2, 0, None)
    assert decision.reasons == ("no canary pairs were drawn",)


@pytest.mark.parametrize(
    ("outcomes", "difference"),
    [
        ((Outcome.PASS, Outcome.PASS), 0),
        ((Outcome.PASS, Outcome.TIMEOUT), 1),
        ((Outcome.LENGTH, Outcome.PASS), -1),
        ((Outcome.FAIL, Outcome.LENGTH), 0),
        ((Outcome.ERROR, Outcome.PASS), None),
        ((Outcome.FAIL, Outcome.SHED), None),
    ],
)
def test_the_difference_of_a_pair(outcomes: tuple[Outcome, Outcome], difference: int | None) -> None:
    assert Pair(KEY, 1000, *outcomes).difference == difference


@pytest.mark.parametrize(
    ("outcomes", "worst", "best"),
    [
        ((Outcome.ERROR, Outcome.PASS), -1, 0),
        ((Outcome.ERROR, Outcome.FAIL), 0, 1),
        ((Outcome.PASS, Outcome.SHED), 0, 1),
        ((Outcome.FAIL, Outcome.SHED), -1, 0),
        ((Outcome.SHED, Outcome.SHED), -1, 1),
        ((Outcome.PASS, Outcome.FAIL), 1, 1),
    ],
)
def test_what_a_dropped_pair_might_have_been(outcomes: tuple[Outcome, Outcome], worst: int, best: int) -> None:
    drawn = Pair(KEY, 1000, *outcomes)
    assert (drawn.worst, drawn.best) == (worst, best)


def test_dropped_pairs_are_counted_and_bounded() -> None:
    dropped = [Pair(KEY, LENGTHS[0], Outcome.ERROR, Outcome.PASS)] * 30
    decision = decide(checked(both(0, 400) + dropped), TWO_BUCKETS)
    report = decision.buckets[0]
    assert (decision.exit_code, report.n, report.dropped) == (0, 400, 30)
    assert report.if_dropped_fail.lower < -0.05 < report.bounds.lower + 1e-9
    assert report.if_dropped_pass.lower >= report.bounds.lower
    assert "If the 30 dropped pairs had gone against the first, this would not be shown" in " ".join(decision.reasons)
    assert decision.buckets[1].if_dropped_fail == decision.buckets[1].bounds


def test_too_many_dropped_pairs_decide_nothing() -> None:
    dropped = [Pair(KEY, LENGTHS[0], Outcome.SHED, Outcome.PASS)] * 60
    decision = decide(checked(both(0, 400) + dropped), TWO_BUCKETS)
    assert decision.exit_code == 2
    assert "60 of 460 pairs lack a verdict (error or shed); the policy allows 10%" in decision.reasons[0]


def test_what_can_be_no_pair_is_counted_apart() -> None:
    apart = [
        Pair(KEY, LENGTHS[1], Outcome.BEYOND_WINDOW, Outcome.PASS),
        Pair(KEY, LENGTHS[1], Outcome.FAIL, Outcome.CANCELLED),
        pair(-1, 10_000),
    ]
    decision = decide(checked([*both(0, 400), *apart]), TWO_BUCKETS)
    assert (decision.exit_code, decision.outside) == (0, 1)
    assert (decision.buckets[1].never_pairs, decision.buckets[1].dropped, decision.buckets[1].n) == (2, 0, 400)


def test_only_the_newest_stream_counts() -> None:
    for change in (OTHER_KEY, replace(KEY, first=replace(FIRST, revision="r2")), replace(KEY, suite="five:2")):
        decision = decide(checked(both(-1, 400)) + checked(both(0, 10, change), change), TWO_BUCKETS)
        assert (decision.exit_code, decision.stream, decision.pairs_of_earlier) == (2, 2, 800)
        assert (decision.key, decision.buckets[0].n) == (change, 10)
        assert "this is stream 2" in decision.reasons[0]


def test_a_change_back_is_a_change() -> None:
    events = checked(both(0, 400)) + checked(both(0, 1, OTHER_KEY), OTHER_KEY) + checked(both(0, 5))
    assert decide(events, TWO_BUCKETS).buckets[0].n == 5
    assert decide(events, TWO_BUCKETS).stream == 3


def test_kinds_of_evidence_are_never_pooled() -> None:
    others = [replace(drawn, kind=Kind.MIRROR) for drawn in both(-1, 400)]
    decision = decide(checked(both(0, 400) + others), TWO_BUCKETS)
    assert (decision.exit_code, decision.other_kinds) == (0, {"mirror": 800})
    mirrored = TWO_BUCKETS.model_copy(update={"evidence": Kind.MIRROR})
    assert decide(checked(both(0, 400)), mirrored).buckets[0].n == 0


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        (Control(KEY, True, Outcome.TIMEOUT), r"scoring paused: 1 of \d+ canonical samples did not pass"),
        (Control(KEY, False, Outcome.PASS), r"scoring paused: 1 of \d+ known-bad samples passed"),
    ],
)
@pytest.mark.parametrize("difference", [0, -1])
def test_a_failing_control_pauses_scoring(control: Control, reason: str, difference: int) -> None:
    decision = decide([*checked(both(difference, 400)), control, *controls()], TWO_BUCKETS)
    assert decision.exit_code == 2
    assert sum(decision.failing_controls.values()) == 1
    assert re.match(reason, decision.reasons[0])
    again = decide([*checked(both(0, 400)), control, *checked(both(0, 400, OTHER_KEY), OTHER_KEY)], TWO_BUCKETS)
    assert again.exit_code == 0


def test_a_control_without_a_verdict_shows_nothing() -> None:
    decision = decide([*checked(both(0, 400)), Control(KEY, True, Outcome.ERROR)], TWO_BUCKETS)
    assert decision.exit_code == 0


def test_controls_have_to_be_among_the_pairs() -> None:
    pairs = both(0, 400)
    for events in ([*reruns(), *controls(), *pairs], [*pairs, *reruns(), *controls()], [*pairs, *reruns()]):
        decision = decide(events, TWO_BUCKETS)
        assert decision.exit_code == 2
        assert "too few controls" in " ".join(decision.reasons)


def test_flips_decide_nothing() -> None:
    events = checked(both(0, 400))
    assert decide([*events, *reruns(30, flips=1)], TWO_BUCKETS).exit_code == 0
    decision = decide([*events, *reruns(30, flips=2)], TWO_BUCKETS)
    assert (decision.exit_code, decision.reruns, decision.flips) == (2, 50, 2)
    assert "verdicts flip: 2 of 50 answers" in decision.reasons[0]


def test_answers_have_to_be_scored_again() -> None:
    decision = decide([*controls(), *reruns(19), Rerun(KEY, Outcome.PASS, Outcome.ERROR)], TWO_BUCKETS)
    assert decision.exit_code == 2
    assert "19 answers were scored twice; 20 are needed" in decision.reasons[0]
    late = [*checked(both(0, 1)), *checked(both(0, 1, OTHER_KEY), OTHER_KEY), *reruns(20, flips=20)]
    assert decide(late, TWO_BUCKETS).flips == 0


def test_draws_that_change_within_a_stream_decide_nothing() -> None:
    decision = decide(checked([pair(1) for _ in range(400)] + [pair(-1) for _ in range(600)]), ONE_BUCKET)
    assert decision.exit_code == 2
    assert "lies outside the bounds that earlier ones gave" in decision.reasons[0]


def test_other_models_are_refused() -> None:
    swapped = replace(KEY, first=KEY.second, second=KEY.first)
    with pytest.raises(ValueError, match="the first of these draws is iquest-coder-v1-40b-loop-instruct"):
        decide([pair(0, key=swapped)], TWO_BUCKETS)


events_of_any_kind = st.lists(
    st.one_of(
        st.builds(
            Pair,
            st.just(KEY),
            st.integers(1, 9000),
            st.sampled_from(Outcome),
            st.sampled_from(Outcome),
            st.sampled_from([Kind.CANARY, Kind.CANARY, Kind.LIVE_EXACT]),
        ),
        st.builds(Control, st.just(KEY), st.booleans(), st.sampled_from(Outcome)),
        st.builds(Rerun, st.just(KEY), st.sampled_from(Outcome), st.sampled_from(Outcome)),
    ),
    max_size=60,
)


@given(events_of_any_kind)
@settings(max_examples=60, deadline=None)
def test_whatever_happens_the_decision_is_consistent(events: list[Event]) -> None:
    decision = decide(events, TWO_BUCKETS)
    assert decision.exit_code == {"HOLDS": 0, "VIOLATED": 1, "UNDECIDED": 2}[decision.answer.name]
    assert decision.reasons
    pairs = [event for event in events if isinstance(event, Pair)]
    counted = sum(report.n + report.dropped + report.never_pairs for report in decision.buckets)
    assert counted + decision.outside + sum(decision.other_kinds.values()) == len(pairs)
    for report in decision.buckets:
        assert -1 <= report.joint.lower <= report.bounds.lower < report.bounds.upper <= report.joint.upper <= 1
        assert report.if_dropped_fail.lower <= report.if_dropped_pass.upper


@given(st.lists(st.tuples(st.sampled_from([-1, -1, 0, 1]), st.integers(30, 200)), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_answers_do_not_turn_as_a_stream_grows(stretches: list[tuple[int, int]]) -> None:
    """Bounds only close in. A violation stays one, unless the draws turn out to be of more than one distribution."""
    gate, before = Gate(ONE_BUCKET.model_copy(update={"least_reruns": 0})), Answer.UNDECIDED
    seen = {before}
    for place, difference in enumerate(d for d, count in stretches for _ in range(count)):
        for event in [*(controls() if place % 100 == 0 else []), pair(difference)]:
            gate.add(event)
        now = gate.answer
        assert {before, now} != {Answer.HOLDS, Answer.VIOLATED}
        before = now
        seen.add(now)
    assert not {Answer.HOLDS, Answer.VIOLATED} <= seen


@given(st.permutations([(1024, 0.2), (2048, 0.3), (8192, 0.5)]), st.integers(0, 3))
@settings(max_examples=12, deadline=None)
def test_the_order_of_buckets_does_not_matter(order: list[tuple[int, float]], seed: int) -> None:
    text = POLICY.split("buckets:")[0] + "buckets:\n"
    listed = [f"  - {{up_to: {edge}, weight: {weight}}}\n" for edge, weight in order]
    events = list(stream(Random(seed), (0.2, 0.0), 0.3, 150))
    expected = decide(events, Policy.from_yaml(text + "".join(sorted(listed))))
    assert decide(events, Policy.from_yaml(text + "".join(listed))) == expected


def test_the_forecast_shrinks_as_pairs_come() -> None:
    """Two in five differ, as often either way: what is expected before anything was drawn comes true."""
    evenly = [pair(difference) for difference in (1, 0, -1, 0, 0)]
    needed = [decide(evenly * (count // 5), RELAXED).buckets[0].needed for count in (0, 400, 1600)]
    assert needed[0] is not None
    assert needed[0] == pytest.approx(1_653, abs=1)
    assert [count + (more or 0) for count, more in zip((400, 1600), needed[1:], strict=True)] == pytest.approx(
        [needed[0]] * 2, rel=0.1
    )


def test_no_forecast_goes_on_for_ever() -> None:
    deficit = [pair(-1 if place % 20 == 0 else 0) for place in range(400)]
    decision = decide(deficit, RELAXED)
    assert decision.buckets[0].needed is None or decision.buckets[0].needed > 5_000
