"""Writing: everything may come twice; who holds a lease; what is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from gateway.shadow.gate.draws import Kind, Outcome
from gateway.shadow.score.verdict import Says
from gateway.shadow.store import Counter, Gap, Role, Side, State, Store, Total
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.store.conftest import Open
from tests.gateway.shadow.store.evidence import NOON, Time, a_run, a_sample, a_score, both, stored


def test_what_is_stored_comes_back(store: Store) -> None:
    sample = a_sample(
        kind=Kind.LIVE_NEAR,
        sampling='{"temperature": 0.2}',
        target_tokens=4096,
        score=0.83,
        alike=("five/2", "five/3"),
        request_id="abc.1",
        key="team-a",
        prompt="secret",
    )
    run = a_run(sample, role=Role.LIVE, finish_reason="stop", tokens_in=3, tokens_out=5, redacted=True)
    control = a_sample(1, control=False, between=(FIRST, SECOND))
    store.add(sample, run)
    store.add(control, a_run(control, role=Role.CONTROL))
    first, second = store.evidence.samples(answers=True)
    assert first.sample == replace(sample, prompt=None)
    assert first.sample.inflated
    assert [scored.run for scored in first.runs] == [run]
    assert second.sample == control
    (unread,) = next(store.evidence.samples()).runs
    assert unread.run == replace(run, answer=None)


def test_any_text_can_be_stored(store: Store) -> None:
    odd = "a\0b\ud800c\U0001f600" + "x" * 100_000
    sample = a_sample(request_id=odd[:4], key=odd[:4])
    store.add(sample, a_run(sample, answer=odd))
    (claim,) = store.claim("w", seconds=60)
    assert claim.run.answer == odd
    assert claim.sample.key == "a\N{REPLACEMENT CHARACTER}b?"


def test_impossible_counts_are_cut(store: Store) -> None:
    sample = a_sample(prompt_tokens=2**70)
    store.add(sample, a_run(sample, tokens_in=-1, tokens_out=2**40))
    (drawn,) = store.evidence.samples()
    (scored,) = drawn.runs
    assert (drawn.sample.prompt_tokens, scored.run.tokens_in, scored.run.tokens_out) == (2**31 - 1, 0, 2**31 - 1)


def test_what_comes_twice_is_stored_once(store: Store) -> None:
    sample = a_sample()
    for _ in range(2):
        store.add(sample, *both(sample))
    store.add(replace(sample, suite="other"), *both(sample, answer="other"))
    (drawn,) = store.evidence.samples(answers=True)
    assert drawn.sample == sample
    assert tuple(scored.run for scored in drawn.runs) == both(sample)
    scores = [a_score(run) for run in both(sample)]
    assert store.record(*scores, *scores) == 2
    assert store.record(replace(scores[0], says=Says.FAIL), scores[1]) == 0
    store.add(sample, *both(sample))
    assert [(state, count) for _, state, count in stored(store)] == [(State.SCORED, 1)] * 2
    assert [scored.outcome for _, scored, _ in store.evidence.runs()] == [Outcome.PASS] * 2


@pytest.mark.parametrize("seed", range(3))
def test_deliveries_may_come_again_at_any_later_time(opened: Open, seed: int) -> None:
    random = Random(seed)
    store = opened()
    once: list[Callable[[], object]] = []
    for number in range(4):
        sample = a_sample(number)
        first, second = both(sample)
        once.append(partial(store.add, sample, *both(sample, state=State.ASKED)))
        once.append(partial(store.add, sample, first))
        once.append(partial(store.add, sample, replace(second, state=random.choice([State.SHED, State.WAITING]))))
        once.append(partial(store.record, a_score(first, random.choice([*Says])), a_score(first, number=1)))
        once.append(partial(store.count, "s", [Total("2027-01-15", Counter.MATCHED, number)]))
        once.append(partial(store.gap, Gap("s", NOON + number, "why", random.choice([None, NOON + 9]))))

    def everything() -> tuple[object, ...]:
        return list(store.evidence.samples(answers=True)), store.evidence.totals(), store.evidence.gaps()

    for do in once:
        do()
    expected = everything()
    store.purge(everything=True)
    for place, do in enumerate(once):
        do()
        for again in random.choices(once[: place + 1], k=2):
            again()
    assert everything() == expected


@pytest.mark.parametrize("state", [State.WAITING, State.CANCELLED, State.SHED, State.ERROR, State.BEYOND_WINDOW])
def test_what_was_asked_becomes_what_it_is(store: Store, state: State) -> None:
    sample = a_sample()
    asked = both(sample, state=State.ASKED, answer=None)
    store.add(sample, *asked)
    assert store.claim("w", seconds=60) == []
    done = a_run(sample, state=state, tokens_out=7, served=replace(FIRST, revision="r2"))
    for _ in range(2):
        store.add(sample, done)
        store.add(sample, *asked)  # late
    store.add(sample, a_run(sample, state=State.ERROR, tokens_out=9))
    (first, second) = (scored.run for drawn in store.evidence.samples(answers=True) for scored in drawn.runs)
    assert first == (done if state is State.WAITING else replace(done, answer=None))
    assert second.state is State.ASKED


def test_the_oldest_is_claimed_and_by_one_only(opened: Open) -> None:
    one, other = opened(), opened()
    for number in (2, 0, 1):
        sample = a_sample(number)
        one.add(sample, a_run(sample))
    claims = [*one.claim("a", seconds=60), *other.claim("b", seconds=60), *one.claim("a", seconds=60, limit=9)]
    assert [(claim.sample, claim.worker) for claim in claims] == [
        (a_sample(0), "a"),
        (a_sample(1), "b"),
        (a_sample(2), "a"),
    ]
    assert other.claim("b", seconds=60) == []
    assert one.backlog() == {State.ASKED: 0, State.WAITING: 0, State.LEASED: 3}


def test_a_worker_claims_the_suites_it_can_score(store: Store) -> None:
    for number, suite in enumerate(["one", "two", "three"]):
        sample = a_sample(number, suite=suite)
        store.add(sample, a_run(sample))
    assert store.claim("w", seconds=60, suites=[]) == []
    assert [claim.sample.suite for claim in store.claim("w", seconds=60, limit=9, suites=["three", "two"])] == [
        "two",
        "three",
    ]


def test_what_a_queue_should_have(store: Store, time: Time) -> None:
    """What waits and is old enough, and what a lost worker had; of some suites, and those may be claimed by name."""
    samples = [a_sample(number, suite="five:2" if number == 3 else "five:1") for number in range(6)]
    for sample in samples:
        store.add(sample, a_run(sample))
    first, second, third, other, _, last = [a_run(sample).id for sample in samples]
    time.now = NOON + 12.5
    assert store.unclaimed(["five:1"], older=10, limit=9) == [("five:1", each) for each in (first, second, third)]
    assert store.unclaimed(["five:1", "five:2"], older=9, limit=9)[-1] == ("five:2", other)
    assert store.unclaimed(["five:1"], older=10, limit=1) == [("five:1", first)]
    (claim,) = store.claim("a", seconds=5, limit=9, ids=[second, other, "none"], suites=["five:1"])
    assert claim.run.id == second
    assert not store.claim("b", seconds=5, limit=9, ids=[second])
    assert [each for _, each in store.unclaimed(["five:1"], older=10, limit=9)] == [first, third]
    store.record(a_score(first))
    time.now += 5
    assert [each for _, each in store.unclaimed(["five:1"], older=60, limit=9)] == [second]
    (claim,) = store.claim("b", seconds=5, ids=[last])
    assert claim.run.id == last


def test_a_lease_that_is_not_renewed_is_lost(store: Store, time: Time) -> None:
    sample = a_sample()
    store.add(sample, a_run(sample))
    (lost,) = store.claim("a", seconds=60)
    time.now += 59
    assert store.claim("b", seconds=60) == []
    assert store.renew(lost, seconds=60)
    time.now += 59
    assert store.claim("b", seconds=60) == []
    time.now += 1
    (claim,) = store.claim("b", seconds=60)
    assert (claim.run, claim.worker, claim.attempt, claim.expires) == (lost.run, "b", 2, time.now + 60)
    assert not store.renew(lost, seconds=60)
    assert not store.give_back(lost)
    assert store.record(a_score(lost.run)) == 1
    assert store.record(a_score(claim.run, Says.FAIL)) == 0
    assert not store.renew(claim, seconds=60)
    assert [(state, count) for _, state, count in stored(store)] == [(State.SCORED, 1)]


def test_what_is_given_back_is_claimed_at_once(store: Store) -> None:
    sample = a_sample()
    store.add(sample, a_run(sample))
    for _ in range(9):
        (claim,) = store.claim("a", seconds=60)
        assert claim.attempt == 1
        assert store.give_back(claim)
        assert not store.give_back(claim)


def test_a_run_that_ends_its_workers_is_an_error(store: Store, time: Time) -> None:
    sample = a_sample()
    store.add(sample, a_run(sample))
    for attempt in range(1, 6):
        (claim,) = store.claim("a", seconds=60)
        assert claim.attempt == attempt
        time.now += 60
    assert store.claim("a", seconds=60) == []
    assert [(run.answer, state) for run, state, _ in stored(store)] == [(None, State.ERROR)]


def test_answers_go_when_they_are_scored(opened: Open) -> None:
    store, keeping = opened(), opened(answers=3)
    for number in range(2):
        sample = a_sample(number)
        store.add(sample, a_run(sample))
        (store if number else keeping).record(a_score(a_run(sample)), a_score(a_run(sample), number=1))
    assert [(run.answer is None, state, count) for run, state, count in stored(store)] == [
        (False, State.SCORED, 2),
        (True, State.SCORED, 2),
    ]


def test_prompts_are_stored_only_if_asked(opened: Open) -> None:
    samples = a_sample(0, prompt="one"), a_sample(1, prompt="two")
    opened().add(samples[0])
    opened(prompts=True).add(samples[1])
    assert [drawn.sample.prompt for drawn in opened().evidence.samples()] == [None, "two"]


def test_what_stays_open_can_be_given_up(store: Store, time: Time) -> None:
    samples = [a_sample(number) for number in range(3)]
    store.add(samples[0], *both(samples[0], state=State.ASKED))
    store.add(samples[1], *both(samples[1]))
    store.add(samples[2], *both(samples[2]))
    (claim,) = store.claim("w", seconds=60)
    assert store.settle(before=NOON + 2) == 4
    assert store.settle(before=NOON + 2) == 0
    assert not store.renew(claim, seconds=60)
    assert store.record(a_score(claim.run)) == 1
    outcomes = [scored.outcome for drawn in store.evidence.samples() for scored in drawn.runs]
    assert outcomes == [Outcome.ERROR] * 4 + [None] * 2


def test_counters_are_totals_of_their_sources(store: Store) -> None:
    def total(value: int, counter: Counter = Counter.SAMPLED, **labels: str) -> Total:
        return Total("2027-01-15", counter, value, **labels)

    store.count("a", [total(3), total(5, Counter.TOKENS, model="m"), total(1, Counter.DROPPED, reason="busy")])
    store.count("a", [total(4), total(4, Counter.TOKENS, model="m")])
    store.count("b", [total(10), total(2**40, Counter.TOKENS, model="m"), total(7, Counter.TOKENS, model="n")])
    store.count("b", [total(10), replace(total(1), day="2027-01-16")])
    assert set(store.evidence.totals()) == {
        total(14),
        total(5 + 2**40, Counter.TOKENS, model="m"),
        total(7, Counter.TOKENS, model="n"),
        total(1, Counter.DROPPED, reason="busy"),
        replace(total(1), day="2027-01-16"),
    }
    assert store.evidence.totals(since=NOON + 86_400) == (replace(total(1), day="2027-01-16"),)
    assert len(store.evidence.totals(until=NOON)) == 4
    assert store.evidence.spent("2027-01-15", "m") == 5 + 2**40
    assert store.evidence.spent("2027-01-16", "m") == 0


def test_the_match_rate(store: Store) -> None:
    assert store.evidence.matching().rate is None
    store.count("a", [Total("2027-01-15", Counter.MATCHED, 1), Total("2027-01-15", Counter.UNMATCHED, 3)])
    assert store.evidence.matching().rate == 0.25


def test_gaps_begin_and_end(store: Store) -> None:
    began = Gap("a", NOON, "the sandbox can't start")
    for _ in range(2):
        store.gap(began)
    assert store.evidence.gaps() == (began,)
    ended = replace(began, until=NOON + 5)
    other = Gap("b", NOON + 1, "no disk", NOON + 2)
    for gap in (ended, other, began, replace(ended, until=NOON + 9)):
        store.gap(gap)
    assert store.evidence.gaps() == (ended, other)
    assert store.evidence.gaps(since=NOON + 2) == (ended,)
    assert store.evidence.gaps(until=NOON + 1) == (ended,)


def test_what_makes_no_sense_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="another sample"):
        store.add(a_sample(0), a_run(a_sample(1)))
    with pytest.raises(ValueError, match="between which families"):
        a_sample(control=True)
    with pytest.raises(ValueError, match="only a claim"):
        a_run(a_sample(), Side.SECOND, state=State.LEASED)
    assert store.record(a_score("unknown.first")) == 0
