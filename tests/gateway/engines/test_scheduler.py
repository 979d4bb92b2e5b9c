"""The scheduler: examples worked out by hand, and what must hold whatever arrives, ends or is aborted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.engines.simulated.kv import BLOCK_TOKENS, Prompt, blocks_for
from gateway.engines.simulated.scheduler import Entry, Scheduler, SchedulerSettings, StepPlan


def make(**changes: Any) -> Scheduler:
    return Scheduler(SchedulerSettings(**{"num_blocks": 20_000, "max_model_len": 131_072, **changes}))


def add(scheduler: Scheduler, name: str, length: int, *, start: int = 0, **more: Any) -> Entry:
    """A sequence with a prompt of its own, unless it has another one's ``start``."""
    entry = Entry(name, Prompt(range(start, start + length)), **more)
    scheduler.add(entry)
    return entry


def step(scheduler: Scheduler) -> StepPlan:
    """One step, and the token that each sequence gets whose tokens are all computed."""
    plan = scheduler.schedule()
    for share in plan.shares:
        if share.entry.computed == share.entry.total:
            scheduler.generated(share.entry, 7)
    return plan


# -- worked examples ----------------------------------------------------------------------------------------------


def test_a_long_prompt_is_computed_beside_sequences_that_decode() -> None:
    scheduler = make()
    add(scheduler, "a", 100), add(scheduler, "b", 50, start=1_000_000)
    assert step(scheduler).tokens == {"a": 100, "b": 50}
    add(scheduler, "long", 20_000, start=2_000_000)
    assert step(scheduler).tokens == {"a": 1, "b": 1, "long": 8190}
    assert step(scheduler).tokens == {"a": 1, "b": 1, "long": 8190}
    assert step(scheduler).tokens == {"a": 1, "b": 1, "long": 3620}
    plan = step(scheduler)
    assert plan.tokens == {"a": 1, "b": 1, "long": 1}
    assert [share.context for share in plan.shares] == [103, 53, 20_000]


def test_the_rest_of_the_budget_goes_to_the_next_waiting_ones() -> None:
    scheduler = make(max_num_batched_tokens=100, max_num_seqs=3)
    for name in "abcd":
        add(scheduler, name, 40, start=ord(name) * 1000)
    assert step(scheduler).tokens == {"a": 40, "b": 40, "c": 20}
    assert step(scheduler).tokens == {"a": 1, "b": 1, "c": 20}
    assert [entry.name for entry in scheduler.waiting] == ["d"]
    scheduler.finish(scheduler.running[0])
    assert step(scheduler).tokens == {"b": 1, "c": 1, "d": 40}


def test_a_cap_on_long_prompts_counts_only_in_company() -> None:
    scheduler = make(long_prefill_token_threshold=512)
    add(scheduler, "long", 20_000)
    assert step(scheduler).tokens == {"long": 8192}
    short = add(scheduler, "short", 600, start=1_000_000)
    assert step(scheduler).tokens == {"long": 512, "short": 512}
    assert step(scheduler).tokens == {"long": 512, "short": 88}
    scheduler.finish(short)
    assert step(scheduler).tokens == {"long": 8192}


def test_a_shared_beginning_is_computed_once() -> None:
    scheduler = make()
    add(scheduler, "first", 8_000)
    step(scheduler)
    second = Entry("second", Prompt([*range(6_000), *range(1_000_000, 1_000_100)]))
    scheduler.add(second)
    plan = step(scheduler)
    assert (plan.hits, plan.tokens) == ({"second": 6_000}, {"first": 1, "second": 100})
    assert second.blocks[:375] == scheduler.running[0].blocks[:375]


def test_of_an_equal_prompt_the_last_token_is_computed_again() -> None:
    """Whole blocks of at most n - 1 tokens: of 160 tokens 144 are found, of 161 all but one."""
    for length, found in ((160, 144), (161, 160), (16, 0), (17, 16)):
        scheduler = make()
        add(scheduler, "a", length), add(scheduler, "b", length)
        assert step(scheduler).hits == {"a": 0, "b": found}


def test_generated_tokens_can_be_found_too() -> None:
    scheduler = make()
    first = add(scheduler, "first", 10)
    for _ in range(10):
        step(scheduler)
    scheduler.finish(first)
    scheduler.add(Entry("turn", Prompt([*range(10), *[7] * 10, 5])))
    assert step(scheduler).hits == {"turn": 16}


def test_the_last_admitted_is_preempted_and_computed_again() -> None:
    """Five blocks. Two prompts of two blocks each; when both need a third one, there is one left."""
    scheduler = make(num_blocks=6, max_model_len=80, max_num_seqs=2)
    a, b = add(scheduler, "a", 32), add(scheduler, "b", 32, start=1_000)
    late = add(scheduler, "late", 1, start=2_000)
    assert step(scheduler).tokens == {"a": 32, "b": 32}
    plan = step(scheduler)
    assert (plan.tokens, plan.preempted) == ({"a": 1}, [b])
    assert (b.blocks, b.computed, b.total, b.preemptions) == ([], 0, 33, 1)
    assert scheduler.pool.free == 2
    assert step(scheduler).tokens == {"a": 1}  # b needs three blocks, and nobody overtakes it
    assert scheduler.waiting == [b, late]
    scheduler.finish(a)
    plan = step(scheduler)
    assert (plan.hits, plan.tokens) == ({"b": 32, "late": 0}, {"b": 1, "late": 1})


def test_with_priorities_the_least_urgent_is_preempted() -> None:
    scheduler = make(num_blocks=6, max_model_len=80, policy="priority")
    low = add(scheduler, "low", 32, priority=1, arrived=1.0)
    add(scheduler, "high", 32, start=1_000, priority=0, arrived=2.0)
    assert step(scheduler).tokens == {"high": 32, "low": 32}
    plan = step(scheduler)
    assert (plan.tokens, plan.preempted) == ({"high": 1}, [low])


def test_who_is_preempted_gives_back_what_it_was_to_get() -> None:
    """Three blocks, one for each. When the second needs another one, the first loses its own, and its token."""
    scheduler = make(num_blocks=4, max_model_len=48, policy="priority")
    low = add(scheduler, "low", 14, priority=9)
    step(scheduler)
    add(scheduler, "high", 16, start=1_000), add(scheduler, "mid", 1, start=2_000, priority=1)
    assert step(scheduler).tokens == {"low": 1, "high": 16, "mid": 1}
    scheduler.settings = replace(scheduler.settings, max_num_batched_tokens=2)
    plan = step(scheduler)
    assert (plan.tokens, plan.preempted) == ({"high": 1, "mid": 1}, [low])


def test_nobody_is_admitted_in_a_step_with_a_preemption() -> None:
    scheduler = make(num_blocks=6, max_model_len=80, max_num_seqs=2, policy="priority")
    add(scheduler, "a", 32, priority=1), add(scheduler, "b", 32, start=1_000, priority=2)
    step(scheduler)
    add(scheduler, "urgent", 1, start=2_000)
    assert step(scheduler).tokens == {"a": 1}
    assert step(scheduler).tokens == {"a": 1, "urgent": 1}


def test_of_a_prompt_that_left_the_end_is_reused_first() -> None:
    scheduler = make(num_blocks=5, max_model_len=64)
    gone = add(scheduler, "gone", 48)
    step(scheduler)
    scheduler.finish(gone)
    other = add(scheduler, "other", 20, start=1_000)
    step(scheduler)
    scheduler.finish(other)
    add(scheduler, "again", 48)
    assert step(scheduler).hits == {"again": 32}


def test_the_last_place_of_the_window_stays_free_for_what_is_generated() -> None:
    scheduler = make(max_model_len=80, max_num_batched_tokens=60, max_num_seqs=1)
    add(scheduler, "a", 80)
    assert [step(scheduler).tokens for _ in range(3)] == [{"a": 60}, {"a": 19}, {}]


def test_with_priorities_the_urgent_overtake() -> None:
    scheduler = make(max_num_seqs=1, policy="priority")
    for name, priority, arrived in (("a", 1, 0.0), ("b", 1, 1.0), ("c", -1, 2.0)):
        add(scheduler, name, 10, start=ord(name) * 1000, priority=priority, arrived=arrived)
    order = []
    while scheduler.waiting or scheduler.running:
        order += [entry.name for entry in scheduler.running if entry.name not in order]
        if scheduler.running:
            scheduler.finish(scheduler.running[0])
        step(scheduler)
    assert order == ["c", "a", "b"]


def test_a_prompt_is_admitted_when_all_of_it_fits() -> None:
    scheduler = make(num_blocks=11, max_model_len=160, max_num_batched_tokens=16)
    add(scheduler, "a", 32), add(scheduler, "b", 150, start=1_000)
    assert step(scheduler).tokens == {"a": 16}
    assert step(scheduler).tokens == {"a": 16}
    assert step(scheduler).tokens == {"a": 1}  # b has ten blocks to come, seven are free
    eager = make(num_blocks=11, max_model_len=160, max_num_batched_tokens=16, reserve_full_prompt=False)
    add(eager, "a", 32), add(eager, "b", 150, start=1_000)
    step(eager), step(eager)
    assert step(eager).tokens == {"a": 1, "b": 15}


def test_the_watermark_stays_free_when_others_run() -> None:
    scheduler = make(num_blocks=11, max_model_len=160, watermark=0.2)
    add(scheduler, "a", 150)
    assert step(scheduler).tokens == {"a": 150}  # alone, it may have all ten
    scheduler = make(num_blocks=11, max_model_len=160, watermark=0.2)
    add(scheduler, "a", 32), add(scheduler, "b", 112, start=1_000)
    assert step(scheduler).tokens == {"a": 32}


# -- whatever happens ---------------------------------------------------------------------------------------------


@dataclass
class Arrival:
    at: int
    prompt: list[int]
    outputs: int
    priority: int
    aborted_after: int | None


@st.composite
def workloads(draw: st.DrawFn) -> tuple[SchedulerSettings, list[Arrival]]:
    window = draw(st.sampled_from([40, 200]))
    made = SchedulerSettings(
        num_blocks=blocks_for(window) + 1 + draw(st.integers(0, 12)),
        max_model_len=window,
        max_num_batched_tokens=draw(st.sampled_from([8, 20, 64, 1000])),
        max_num_seqs=draw(st.integers(1, 8)),
        long_prefill_token_threshold=draw(st.sampled_from([0, 3, 16])),
        policy=draw(st.sampled_from(["fcfs", "priority"])),
        prefix_caching=draw(st.booleans()),
        reserve_full_prompt=draw(st.booleans()),
        watermark=draw(st.sampled_from([0.0, 0.1])),
    )
    arrivals = []
    for number in range(draw(st.integers(1, 10))):
        length = draw(st.integers(1, window - 2))
        shared = draw(st.integers(0, length))
        arrivals.append(
            Arrival(
                at=draw(st.integers(0, 20)),
                prompt=[*range(shared), *range(1000 * (number + 1), 1000 * (number + 1) + length - shared)],
                outputs=draw(st.integers(1, min(40, window - length))),
                priority=draw(st.integers(0, 2)),
                aborted_after=draw(st.none() | st.integers(0, 10)),
            )
        )
    return made, sorted(arrivals, key=lambda arrival: arrival.at)


@dataclass
class Course:
    """What happened to each sequence, by name."""

    computed: Counter[str] = field(default_factory=Counter)
    hits: dict[str, int] = field(default_factory=dict)
    admitted: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


def held_blocks(scheduler: Scheduler) -> set[int]:
    return {block for entry in scheduler.running for block in entry.blocks}


def check_step(scheduler: Scheduler, plan: StepPlan, course: Course) -> None:
    limits = scheduler.settings
    assert sum(plan.tokens.values()) <= limits.max_num_batched_tokens
    assert all(tokens > 0 for tokens in plan.tokens.values())
    assert len(plan.tokens) == len(plan.shares) <= len(scheduler.running) <= limits.max_num_seqs
    assert len(held_blocks(scheduler)) + scheduler.pool.free == scheduler.pool.size
    assert not any(entry.blocks for entry in scheduler.waiting)
    assert plan.shares or plan.preempted
    for entry in scheduler.running:
        assert entry.computed <= len(entry.blocks) * BLOCK_TOKENS
    for entry in plan.preempted:
        course.computed[entry.name] = 0
    for share in plan.shares:
        course.computed[share.entry.name] += share.tokens
    for name, hits in plan.hits.items():
        course.admitted += [name] if name not in course.hits else []
        course.hits[name] = hits


def run(made: SchedulerSettings, arrivals: list[Arrival]) -> tuple[Scheduler, Course]:
    """Everything to its end."""
    scheduler, course, live = Scheduler(made), Course(), dict[str, tuple[Entry, Arrival, int]]()
    todo = [(f"{number:02}", arrival) for number, arrival in enumerate(arrivals)]
    for now in range(10_000):
        while todo and todo[0][1].at <= now:
            name, arrival = todo.pop(0)
            entry = Entry(name, Prompt(arrival.prompt), priority=arrival.priority, arrived=float(now))
            scheduler.add(entry)
            live[name] = entry, arrival, now
        for name, (entry, arrival, since) in list(live.items()):
            if arrival.aborted_after is not None and now - since >= arrival.aborted_after:
                scheduler.finish(entry)
                del live[name]
        if not live:
            if not todo:
                return scheduler, course
            continue
        plan = scheduler.schedule()
        check_step(scheduler, plan, course)
        for share in plan.shares:
            entry, arrival, _ = live[share.entry.name]
            assert entry.computed <= entry.total
            if entry.computed == entry.total:
                assert course.computed[entry.name] + course.hits[entry.name] == entry.total
                assert course.hits[entry.name] < entry.total
                assert course.hits[entry.name] % BLOCK_TOKENS == 0
                scheduler.generated(entry, 7)
                if entry.total - len(entry.prompt) == arrival.outputs:
                    scheduler.finish(entry)
                    course.ended.append(entry.name)
                    del live[entry.name]
    raise AssertionError("somebody starves")


@given(workload=workloads())
@settings(deadline=None, max_examples=150)
def test_everything_ends_within_its_bounds(workload: tuple[SchedulerSettings, list[Arrival]]) -> None:
    made, arrivals = workload
    scheduler, course = run(made, arrivals)
    assert scheduler.pool.free == scheduler.pool.size
    assert not scheduler.running
    assert not scheduler.waiting
    stayed = [f"{number:02}" for number, arrival in enumerate(arrivals) if arrival.aborted_after is None]
    assert set(stayed) <= set(course.ended)
    if made.policy == "fcfs":
        assert course.admitted == sorted(course.admitted)


@given(workload=workloads())
@settings(deadline=None, max_examples=30)
def test_it_is_deterministic(workload: tuple[SchedulerSettings, list[Arrival]]) -> None:
    assert run(*workload)[1] == run(*workload)[1]


@pytest.mark.parametrize("aborted", ["running", "waiting"])
def test_an_abort_frees_at_once(aborted: str) -> None:
    scheduler = make(max_num_seqs=1)
    entries = {"running": add(scheduler, "a", 1000), "waiting": add(scheduler, "b", 1000, start=5_000)}
    scheduler.schedule()
    used = scheduler.pool.usage
    scheduler.finish(entries[aborted])
    assert scheduler.pool.usage == (0.0 if aborted == "running" else used)
    assert list(scheduler.schedule().tokens) == (["b"] if aborted == "running" else [])
