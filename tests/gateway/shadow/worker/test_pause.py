"""A control that comes out wrong pauses scoring until it comes out right; what is missing meanwhile is a gap."""

from __future__ import annotations

import threading
from collections.abc import Collection

import pytest

from gateway.shadow.gate.draws import Control, Outcome
from gateway.shadow.sandbox.interpreter import SandboxError
from gateway.shadow.sandbox.job import Job
from gateway.shadow.sandbox.job import Outcome as Ended
from gateway.shadow.store import Gap, State, Store, Wanted
from gateway.shadow.worker import ScoringBroken
from tests.fakes.slot import ScriptedSlot, ends, fails, passes
from tests.gateway.shadow.store.evidence import NOON, Time
from tests.gateway.shadow.worker.scenes import Crew, Noted, by_mark, control, outcomes, waiting

WHY = {
    True: "scoring was paused: the canonical control did not pass (five/algorithms/1 of five:",
    False: "scoring was paused: the known-bad control passed (five/algorithms/1 of five:",
}


def is_control(job: Job) -> bool:
    return "# control " in job.candidate


@pytest.mark.parametrize("canonical", [True, False])
def test_it_pauses_until_that_control_comes_out_right(store: Store, time: Time, canonical: bool) -> None:
    run = control(store, 0, canonical)
    for number in (1, 2):
        waiting(store, number)
    tries = list[tuple[tuple[Gap, ...], int]]()

    def script(job: Job) -> Ended:
        if not is_control(job):
            return by_mark(job)
        tries.append((store.evidence.gaps(), store.backlog()[State.WAITING]))
        time.now = NOON + 10 * len(tries)
        if len(tries) in (3, 4):
            return ends("lost")  # no verdict, so nothing shows that scoring works
        broken = len(tries) < 5
        return (passes if canonical is not broken else fails)(job)

    def stop_when_done() -> None:
        if not any(store.backlog().values()):
            crew.worker.stop()

    crew = Crew(store, script, time=time, once=False, noted=Noted(on_scored=stop_when_done))
    crew.run()
    assert len(tries) == 5
    assert tries[0] == ((), 2)
    (gap,) = tries[1][0]
    assert (gap.source, gap.since, gap.until) == ("worker a", NOON + 10, None)
    assert gap.why.startswith(WHY[canonical])
    assert tries[1:] == [((gap,), 2)] * 4, "nothing was claimed"
    assert store.evidence.gaps() == (Gap("worker a", NOON + 10, gap.why, until=NOON + 50),)
    assert outcomes(store) == [Outcome.FAIL if canonical else Outcome.PASS, Outcome.PASS, Outcome.PASS]
    (event,) = (event for event in store.evidence.events(Wanted()) if isinstance(event, Control))
    assert event.failing
    assert [message.split(". ")[0] for message in crew.noted.messages] == [
        gap.why,
        "it comes out right again: scoring goes on",
    ]
    assert crew.noted.verdicts[0][0] == run.id


def test_what_was_learnt_of_tasks_while_scoring_was_broken_is_learnt_anew(store: Store) -> None:
    """Else a task whose own solution did not pass then would be checked in-process from then on."""
    control(store, 0, canonical=True)
    waiting(store, 1)
    jobs = list[Job]()

    def script(job: Job) -> Ended:
        jobs.append(job)
        return fails(job) if len(jobs) <= 2 else passes(job)

    def stop_when_done() -> None:
        if not any(store.backlog().values()):
            crew.worker.stop()

    crew = Crew(store, script, once=False, noted=Noted(on_scored=stop_when_done))
    crew.run()
    assert [verdict.level for _, verdict, _ in crew.noted.verdicts] == ["bubblewrap/in-process", "bubblewrap/separate"]


def test_what_is_scored_meanwhile_is_given_back(store: Store) -> None:
    """It may be as wrong. The second slot's run ends after the control has come out wrong."""
    control(store, 0, canonical=True)
    waiting(store, 1)
    noted = Noted()

    def script(job: Job) -> Ended:
        if is_control(job):
            started.wait()
            return fails(job)
        if "answer 1" in job.candidate:
            started.set()
            paused.wait()
        return passes(job)

    started, paused = threading.Event(), threading.Event()
    noted.on_told = lambda _: paused.set()

    def stop_when_given_back() -> None:
        paused.wait()
        while store.backlog()[State.WAITING] != 1:
            threading.Event().wait(0.01)
        crew.worker.stop()

    watching = threading.Thread(target=stop_when_given_back)
    watching.start()
    crew = Crew(store, script, once=False, slots=2, noted=noted)
    crew.run()
    watching.join()
    assert outcomes(store) == [Outcome.FAIL, None]
    (claim,) = store.claim("b", seconds=9)
    assert claim.attempt == 1


def test_once_does_not_wait_for_scoring_to_be_mended(store: Store, time: Time) -> None:
    control(store, 0, canonical=False)
    waiting(store, 1)
    with pytest.raises(ScoringBroken, match="the known-bad control passed"):
        Crew(store, passes, time=time).worker.run()
    (gap,) = store.evidence.gaps()
    assert (gap.since, gap.until) == (NOON, NOON)
    assert outcomes(store) == [Outcome.PASS, None]
    assert store.backlog()[State.WAITING] == 1


def test_a_sandbox_that_is_down_makes_no_errors_of_all_that_waits(store: Store, time: Time) -> None:
    for number in range(3):
        waiting(store, number)
    jobs = list[Job]()

    def script(job: Job) -> Ended:
        jobs.append(job)
        time.now = NOON + len(jobs)
        return ends("lost") if len(jobs) <= 20 else passes(job)

    def stop_when_done() -> None:
        if not any(store.backlog().values()):
            crew.worker.stop()

    crew = Crew(store, script, time=time, once=False, noted=Noted(on_scored=stop_when_done))
    crew.run()
    assert outcomes(store) == [Outcome.PASS] * 3
    (gap,) = store.evidence.gaps()
    assert gap.why.startswith("scoring was paused: the sandbox is down: its server dies whatever it runs")
    assert gap.since < NOON + 20 < (gap.until or 0)
    assert len(crew.noted.messages) == 2
    assert all(len(scored.scores) == 1 for drawn in store.evidence.samples() for scored in drawn.runs)


def test_what_ends_only_its_own_sandbox_is_an_error(store: Store) -> None:
    waiting(store, 0)
    waiting(store, 1)
    crew = Crew(store, lambda job: ends("lost") if "answer 0" in job.candidate else passes(job)).run()
    assert outcomes(store) == [Outcome.ERROR, Outcome.PASS]
    assert not crew.noted.messages


def test_once_does_not_wait_for_the_sandbox(store: Store) -> None:
    waiting(store, 0)
    with pytest.raises(ScoringBroken, match="the sandbox is down"):
        Crew(store, lambda job: ends("lost")).worker.run()
    assert store.backlog()[State.WAITING] == 1


def test_a_server_that_cant_be_asked_for_libraries_is_down(store: Store) -> None:
    class Mute(ScriptedSlot):
        def missing(self, modules: Collection[str]) -> frozenset[str]:
            raise SandboxError("the sandbox's server was lost; try again")

    waiting(store, 0)
    with pytest.raises(ScoringBroken, match="the sandbox is down: the sandbox's server was lost"):
        Crew(store, slot=Mute).worker.run()
    assert store.backlog()[State.WAITING] == 1
