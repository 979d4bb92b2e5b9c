"""Order, look-ahead, repeated runs, lost servers, an end that leaves nothing; with slots that follow a script."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Self

import pytest

from gateway.shadow.sandbox.job import Job, Limits, Outcome
from gateway.shadow.sandbox.level import Level
from gateway.shadow.score.check import Checker
from gateway.shadow.score.samples import Sample
from gateway.shadow.score.scorer import Scorer
from tests.fakes.slot import Script, ScriptedSlot, ends, in_turn, passes
from tests.gateway.shadow.score.test_check import PATCHING, is_canonical, task

TASK = task(test=PATCHING)  # one run a sample


def samples(count: int, length: int = 1) -> Iterator[Sample]:
    for number in range(count):
        yield Sample(TASK, f"#{number}", length)


def number_of(job: Job) -> int:
    return int(job.candidate.rpartition("#")[2])


def scorer(*slots: ScriptedSlot) -> Scorer:
    left = list(slots)
    return Scorer(Checker(Level.BUBBLEWRAP, Limits()), left.pop, workers=len(slots))


class Gate:
    """Holds the runs it is asked to, until it is opened: for tests of what happens at the same time."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def hold(self) -> None:
        self.reached.set()
        assert self.opened.wait(30)


def test_the_order_is_that_of_the_samples_whoever_is_faster() -> None:
    gate = Gate()

    def run(job: Job) -> Outcome:
        if number_of(job) == 0:
            gate.hold()
        if number_of(job) == 19:
            gate.opened.set()
        return passes(job, wall=number_of(job))

    slots = ScriptedSlot(run), ScriptedSlot(run)
    verdicts = list(scorer(*slots).score(samples(20)))
    assert [verdict.seconds for verdict in verdicts] == list(range(20))
    assert all((slot.opened, slot.closed) == (1, 1) for slot in slots)


def test_verdicts_come_while_later_ones_still_run() -> None:
    gate = Gate()

    def run(job: Job) -> Outcome:
        if number_of(job) == 1:
            gate.hold()
        return passes(job, wall=number_of(job))

    with closing(scorer(ScriptedSlot(run)).score(samples(3))) as verdicts:
        assert next(verdicts).seconds == 0
        assert gate.reached.wait(30)
        gate.opened.set()
        assert [verdict.seconds for verdict in verdicts] == [1, 2]


@pytest.mark.parametrize(("length", "most"), [(1, 2001), (16 << 20, 6)])
def test_the_look_ahead_is_bounded(length: int, most: int) -> None:
    """By number, and by what samples hold in memory."""
    gate, taken = Gate(), list[int]()

    def counted() -> Iterator[Sample]:
        for number, sample in enumerate(samples(3000, length)):
            taken.append(number)
            if number == most - 1:
                gate.opened.set()
            yield sample

    def run(job: Job) -> Outcome:
        if number_of(job) == 0:
            gate.hold()
            assert len(taken) <= most
        return passes(job)

    slots = ScriptedSlot(run), ScriptedSlot(run)
    gate_timer = threading.Timer(2, gate.opened.set)  # should it never be reached
    gate_timer.start()
    assert sum(1 for _ in scorer(*slots).score(counted())) == 3000
    gate_timer.cancel()


def test_a_sample_alone_may_be_longer_than_the_look_ahead() -> None:
    assert sum(1 for _ in scorer(ScriptedSlot(passes)).score(samples(3, 1 << 30))) == 3


def test_a_lost_server_is_given_one_more_chance() -> None:
    slot = ScriptedSlot(in_turn(ends("lost"), passes, ends("lost"), ends("lost")))
    assert [verdict.says for verdict in scorer(slot).score(samples(2))] == ["pass", "error"]


@pytest.mark.parametrize("again", [passes, ends("wall", waited=60)], ids=["pass", "timeout"])
def test_a_timeout_while_others_had_the_cpus_is_tried_again_for_longer(again: Outcome | Script) -> None:
    """And that run counts, whatever it says."""
    script = in_turn(ends("wall", waited=60), again)
    slot = ScriptedSlot(lambda job: passes(job) if is_canonical(job) else script(job))
    (verdict,) = scorer(slot).score(samples(1))
    assert verdict.says == ("pass" if again is passes else "timeout")
    usual, longer = (job.limits for job in slot.jobs if not is_canonical(job))
    assert (longer.wall, longer.cpu) == (4 * usual.wall, usual.cpu)


@pytest.mark.parametrize("end", [ends("wall", waited=1), ends("cpu", waited=60)], ids=["by itself", "cpu"])
def test_a_timeout_that_nobody_else_caused_stands(end: Outcome) -> None:
    script = in_turn(end)
    slot = ScriptedSlot(lambda job: passes(job) if is_canonical(job) else script(job))
    assert [verdict.says for verdict in scorer(slot).score(samples(1))] == ["timeout"]


def test_a_slot_that_can_not_start_is_raised() -> None:
    class Broken(ScriptedSlot):
        def __enter__(self) -> Self:
            raise OSError("no user namespaces")

    with pytest.raises(OSError, match="no user namespaces"):
        list(scorer(Broken(passes), Broken(passes)).score(samples(5)))


def test_what_a_run_raises_is_raised_and_nothing_is_left() -> None:
    def broken(job: Job) -> Outcome:
        raise RuntimeError("a fault of ours")

    slots = ScriptedSlot(broken), ScriptedSlot(broken)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        list(scorer(*slots).score(samples(5)))
    assert all((slot.opened, slot.closed) == (1, 1) for slot in slots)


def test_giving_up_ends_runs_under_way_and_starts_no_more() -> None:
    """As Ctrl-C does, and a reader that has seen enough."""
    started = threading.Event()
    slots = list[ScriptedSlot]()

    def run(job: Job) -> Outcome:
        if number_of(job) == 0:
            return passes(job)
        started.set()
        assert slots[0].interrupted.wait(30)
        return ends("lost")

    slots.append(ScriptedSlot(run))
    verdicts = scorer(slots[0]).score(samples(50))
    next(verdicts)
    assert started.wait(30)
    verdicts.close()
    assert len(slots[0].jobs) == 2
    assert slots[0].closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("slot ")]


def test_no_samples_need_no_verdicts() -> None:
    assert list(scorer(ScriptedSlot(passes)).score([])) == []
