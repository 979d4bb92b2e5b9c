"""Reading: what the gate and the report get back is what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest

import gateway.shadow.store.evidence as evidence
from gateway.shadow.gate.decide import decide
from gateway.shadow.gate.draws import Control, Event, Kind, Outcome, Pair, Rerun, StreamKey
from gateway.shadow.score.verdict import Says
from gateway.shadow.store import Role, Run, Sample, Score, Side, State, Store, Wanted
from tests.gateway.shadow.gate.worlds import FIRST, KEY, SECOND, TWO_BUCKETS
from tests.gateway.shadow.store.evidence import NOON, a_run, a_sample, a_score, both

SAYS = {Outcome(says.value): says for says in Says}
STATES = {Outcome(state.value): state for state in State if not state.open and state is not State.SCORED}
MODELS = (FIRST.model, SECOND.model)
GATE = Wanted(suite="five:1", form="complete", models=MODELS)


def write(store: Store, number: int, event: Event, again: Outcome | None = None) -> list[Callable[[], object]]:
    """Adds the draw, as asked. What is returned answers and scores its runs, in any order."""
    key = event.key
    sample = a_sample(number, suite=key.suite, form=key.form)
    outcomes: dict[Side, Outcome]
    if isinstance(event, Control):
        sample = replace(sample, control=event.canonical, between=(key.first, key.second))
        outcomes, role = {Side.FIRST: event.outcome}, Role.CONTROL
    else:
        assert isinstance(event, Pair)
        sample = replace(sample, prompt_tokens=event.prompt_tokens, kind=event.kind)
        outcomes, role = {Side.FIRST: event.first, Side.SECOND: event.second}, Role.CANARY
    served = {Side.FIRST: key.first, Side.SECOND: key.second}
    runs = [Run(sample.id, side, role, served[side], state=State.ASKED) for side in outcomes]
    store.add(sample, *runs)
    return [_later(store, sample, run, outcomes[run.side], again, key.sandbox) for run in runs]


def _later(
    store: Store, sample: Sample, run: Run, outcome: Outcome, again: Outcome | None, sandbox: str
) -> Callable[[], object]:
    def scored(says: Outcome, number: int) -> Score:
        return a_score(run, SAYS[says], number, environment=sandbox)

    def do() -> None:
        if outcome in STATES:
            store.add(sample, replace(run, state=STATES[outcome]))
        elif outcome is Outcome.LENGTH:
            store.add(sample, replace(run, state=State.SCORED, finish_reason="length"))
        else:
            store.add(sample, replace(run, state=State.WAITING, answer="x"))
            store.record(scored(outcome, 0), *([scored(again, 1)] if again else []))

    return do


def events(random: Random, count: int, key: StreamKey = KEY) -> Iterator[Event]:
    for place in range(count):
        if place % 5 == 0:
            yield Control(key, place % 2 == 0, random.choice([Outcome.PASS, Outcome.FAIL]))
        else:
            first, second = random.choice([*Outcome]), random.choice([*Outcome])
            yield Pair(key, random.choice([1000, 5000]), first, second)


@pytest.mark.parametrize("page", [1, 7, 500])
def test_the_gate_gets_what_happened_in_the_order_of_draws(
    store: Store, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_PAGE", page)
    random = Random(page)
    happened = list(events(random, 30))
    todo = [do for number, event in enumerate(happened) for do in write(store, number, event)]
    random.shuffle(todo)
    for do in todo:
        do()
    found = list(store.evidence.events(GATE))
    assert found == happened
    assert decide(found, TWO_BUCKETS) == decide(happened, TWO_BUCKETS)
    pairs = [(first, second) for _, first, second in store.evidence.pairs()]
    assert pairs == [(event.first, event.second) for event in happened if isinstance(event, Pair)]


def test_it_ends_before_the_first_that_is_open(store: Store) -> None:
    happened = [Pair(KEY, 1000 + number, Outcome.FAIL, Outcome.PASS) for number in range(4)]
    slow: list[Callable[[], object]] = []
    for number, event in enumerate(happened):
        first, second = write(store, number, event)
        second()
        if number == 2:
            slow.append(first)
        else:
            first()
    assert list(store.evidence.events(GATE)) == happened[:2]
    slow[0]()
    assert list(store.evidence.events(GATE)) == happened


def test_what_is_given_up_holds_the_others_up_no_more(store: Store) -> None:
    write(store, 0, Pair(KEY, 1000, Outcome.PASS, Outcome.PASS))
    for do in write(store, 1, Pair(KEY, 1001, Outcome.PASS, Outcome.FAIL)):
        do()
    assert list(store.evidence.events(GATE)) == []
    store.settle(before=NOON + 1)
    assert list(store.evidence.events(GATE)) == [
        Pair(KEY, 1000, Outcome.ERROR, Outcome.ERROR),
        Pair(KEY, 1001, Outcome.PASS, Outcome.FAIL),
    ]


def test_reruns_follow_their_pair(store: Store) -> None:
    pair = Pair(KEY, 1000, Outcome.PASS, Outcome.FAIL)
    for do in write(store, 0, pair, again=Outcome.PASS):
        do()
    store.record(a_score(both(a_sample())[0], Says.TIMEOUT, number=2))
    assert list(store.evidence.events(GATE)) == [
        pair,
        Rerun(KEY, Outcome.PASS, Outcome.PASS),
        Rerun(KEY, Outcome.PASS, Outcome.TIMEOUT),
        Rerun(KEY, Outcome.FAIL, Outcome.PASS),
    ]


def test_the_sandbox_is_that_of_the_time(store: Store) -> None:
    """A pair of which nothing was scored belongs to the stream in which it lies."""
    new = replace(KEY, sandbox="image:2")
    shed = Pair(KEY, 1000, Outcome.SHED, Outcome.SHED)
    passed = replace(shed, first=Outcome.PASS)
    happened = [shed, passed, shed, replace(passed, key=new), replace(shed, key=new)]
    for number, event in enumerate(happened):
        for do in write(store, number, event):
            do()
    assert list(store.evidence.events(GATE)) == happened


def test_a_pair_scored_on_both_sides_of_a_change_comes_after_it(store: Store) -> None:
    sample = a_sample()
    first, second = both(sample)
    store.add(sample, first, second)
    store.record(a_score(first, environment="image:2", at=NOON + 9), a_score(second, environment="image:1", at=NOON))
    (pair,) = store.evidence.events(GATE)
    assert pair.key.sandbox == "image:2"


def test_only_what_is_wanted(store: Store) -> None:
    third = replace(FIRST, model="third")
    written = {
        "usual": a_sample(0),
        "suite": a_sample(1, suite="other"),
        "form": a_sample(2, form="chat"),
        "kind": a_sample(3, kind=Kind.LIVE_EXACT),
        "model": a_sample(4),
        "swapped": a_sample(5),
        "control": a_sample(6, control=True, between=(FIRST, SECOND)),
        "other control": a_sample(7, control=True, between=(third, SECOND)),
    }
    sides = {"model": (third, SECOND), "swapped": (SECOND, FIRST)}
    for name, sample in written.items():
        served = sides.get(name, (FIRST, SECOND))
        both_runs = (replace(run, served=served[place]) for place, run in enumerate(both(sample)))
        store.add(sample, *both_runs)

    def found(wanted: Wanted) -> set[str]:
        ids = {drawn.sample.id for drawn in store.evidence.samples(wanted)}
        return {name for name, sample in written.items() if sample.id in ids}

    assert found(Wanted()) == set(written)
    assert found(Wanted(suite="other")) == {"suite"}
    assert found(Wanted(form="chat")) == {"form"}
    assert found(Wanted(kind=Kind.LIVE_EXACT)) == {"kind"}
    assert found(Wanted(model="third")) == {"model"}
    assert found(Wanted(models=MODELS)) == {"usual", "suite", "form", "kind", "control"}
    assert found(Wanted(since=NOON + 1, until=NOON + 3)) == {"suite", "form"}


def test_runs_for_the_report(store: Store) -> None:
    live, canary = a_sample(0, kind=Kind.LIVE_EXACT), a_sample(1)
    control = a_sample(2, control=True, between=(FIRST, SECOND))
    runs = [
        a_run(live, Side.FIRST, role=Role.LIVE),
        a_run(live, Side.SECOND, role=Role.MIRROR),
        a_run(canary, Side.FIRST),
        a_run(canary, Side.SECOND, state=State.ASKED),
        a_run(control, role=Role.CONTROL),
    ]
    store.add(live, *runs[:2])
    store.add(canary, *runs[2:4])
    store.add(control, runs[4])
    store.record(*(a_score(run) for run in runs if run.state is State.WAITING))

    def found(wanted: Wanted) -> list[tuple[str, str, Kind]]:
        return [(drawn.sample.task_id, scored.run.side, kind) for drawn, scored, kind in store.evidence.runs(wanted)]

    exact = ("five/0", "first", Kind.LIVE_EXACT)
    mirror = ("five/0", "second", Kind.MIRROR)
    injected = ("five/1", "first", Kind.CANARY)
    assert found(Wanted()) == [exact, mirror, injected]
    assert found(Wanted(kind=Kind.LIVE_EXACT)) == [exact]
    assert found(Wanted(kind=Kind.MIRROR)) == [mirror]
    assert found(Wanted(kind=Kind.CANARY)) == [injected]
    assert found(Wanted(model=SECOND.model)) == [mirror]
