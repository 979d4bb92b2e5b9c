"""What a worker records, with slots that follow a script."""

from __future__ import annotations

from hashlib import sha256

import pytest

from gateway.shadow.gate.draws import Outcome, Rerun, Served
from gateway.shadow.sandbox.interpreter import SandboxError
from gateway.shadow.sandbox.job import Job
from gateway.shadow.sandbox.job import Outcome as Ended
from gateway.shadow.score.verdict import NOT_RUN, Says
from gateway.shadow.store import Role, Side, State, Store, Wanted
from gateway.shadow.worker.answer import NO_TEMPLATE
from gateway.shadow.worker.scoring import is_scored_again
from tests.fakes.slot import ScriptedSlot, ends, fails, in_turn, passes
from tests.gateway.shadow.gate.worlds import FIRST, SECOND
from tests.gateway.shadow.store.conftest import Open
from tests.gateway.shadow.store.evidence import NOON, Time, a_run, a_sample, a_score
from tests.gateway.shadow.worker.scenes import (
    FIVE,
    TASK,
    WRONG,
    Crew,
    answer,
    control,
    outcomes,
    scores,
    waiting,
)


def test_verdicts_are_recorded_once_and_the_answers_dropped(store: Store, time: Time) -> None:
    right, wrong = waiting(store, 0), waiting(store, 1, WRONG)
    time.now = NOON + 9
    crew = Crew(store, time=time, slots=2).run()
    assert outcomes(store) == [Outcome.PASS, Outcome.FAIL]
    (score,) = scores(store, right)
    program = TASK.program(f"def {TASK.entry_point}(*_):\n    return 'answer 0 '")
    assert (score.level, score.environment, score.at, score.number) == ("bubblewrap/separate", "image:1", NOON + 9, 0)
    assert (score.seconds, score.program) == (0.25, sha256(program.encode()).hexdigest()[:16])
    assert sorted(crew.ran)[0] == program
    assert {(run, verdict.says, new) for run, verdict, new in crew.noted.verdicts} == {
        (right.id, Says.PASS, True),
        (wrong.id, Says.FAIL, True),
    }
    assert not any(scored.run.answer for drawn in store.evidence.samples(answers=True) for scored in drawn.runs)
    assert not Crew(store).run().noted.verdicts


def test_what_need_not_run_does_not(store: Store) -> None:
    cut, strange = waiting(store, 0, finish_reason="length"), waiting(store, 1, task_id="five/none")
    waiting(store, 2, state=State.CANCELLED)
    lost = waiting(store, 3, answer=None)
    crew = Crew(store, again=1.0).run()
    assert outcomes(store) == [Outcome.LENGTH, Outcome.ERROR, Outcome.CANCELLED, Outcome.ERROR]
    assert [(score.says, score.level) for run in (cut, strange, lost) for score in scores(store, run)] == [
        (Says.FAIL, NOT_RUN),
        (Says.ERROR, NOT_RUN),
        (Says.ERROR, NOT_RUN),
    ]
    assert not crew.slots[0].jobs


def test_other_suites_and_versions_are_left_for_others(store: Store) -> None:
    waiting(store, 0, suite="BigCodeBench:1")
    waiting(store, 1, suite="five:0123456789abcdef")
    Crew(store).run()
    assert store.backlog()[State.WAITING] == 2


def test_an_empty_answer_is_run_and_fails(store: Store) -> None:
    waiting(store, 0, answer="", finish_reason="stop")
    crew = Crew(store, lambda job: passes(job) if "return" in job.candidate else fails(job)).run()
    assert (outcomes(store), crew.ran) == ([Outcome.FAIL], [TASK.prelude])


@pytest.mark.parametrize(
    ("model", "template", "form", "put_before"),
    [
        ("codegeex2-6b", "t1", "complete", True),
        ("codegeex4-all-9b", NO_TEMPLATE, "complete", True),
        ("codegeex4-all-9b", "t1", "complete", False),
        ("codegeex2-6b", NO_TEMPLATE, "chat", False),
    ],
)
def test_what_continues_the_prompt_is_put_behind_it(
    store: Store, model: str, template: str, form: str, put_before: bool
) -> None:
    served = Served("codegeex", model, "r1", "vllm", "bf16", template, "t")
    waiting(store, 0, answer="    return 1\n", served=served, form=form)
    (program,) = Crew(store).run().ran
    assert (f"def {TASK.entry_point}" in program.removeprefix(TASK.prelude)) is put_before


def test_a_share_is_scored_again_at_the_same_time(store: Store) -> None:
    run = waiting(store, 0)
    crew = Crew(store, in_turn(passes, passes, fails), again=1.0).run()
    assert len(crew.ran) == 2
    assert [(score.number, score.says) for score in scores(store, run)] == [(0, Says.PASS), (1, Says.FAIL)]


def test_which_are_scored_again_hangs_on_the_run_alone() -> None:
    def chosen(share: float) -> list[str]:
        return [id for id in ids if is_scored_again(id, share)]

    ids = [a_run(a_sample(number)).id for number in range(2000)]
    assert (chosen(0.0), chosen(1.0)) == ([], ids)
    assert 150 < len(chosen(0.1)) < 250
    assert set(chosen(0.1)) < set(chosen(0.2))


def test_a_run_that_is_no_verdict_is_not_scored_again(store: Store) -> None:
    run = waiting(store, 0)
    Crew(store, lambda job: ends("lost") if "answer 0" in job.candidate else passes(job), again=1.0).run()
    assert [score.says for score in scores(store, run)] == [Says.ERROR]


def test_lost_and_kept_waiting_jobs_are_run_again(store: Store) -> None:
    lost, slow = waiting(store, 0), waiting(store, 1)
    steps = {"answer 0": [ends("lost"), passes], "answer 1": [ends("wall", waited=60), passes]}
    limits = list[float]()

    def script(job: Job) -> Ended:
        for text, left in steps.items():
            if text in job.candidate:
                limits.append(job.limits.wall)
                step = left.pop(0)
                return step if isinstance(step, Ended) else step(job)
        return passes(job)

    Crew(store, script).run()
    assert [score.says for run in (lost, slow) for score in scores(store, run)] == [Says.PASS, Says.PASS]
    assert limits == [120, 120, 120, 480]


def test_an_answer_scored_elsewhere_meanwhile_counts_once(store: Store, opened: Open) -> None:
    run = waiting(store, 0)
    other = opened()

    def script(job: Job) -> Ended:
        if "answer 0" in job.candidate:
            assert other.record(a_score(run.id, Says.FAIL)) == 1
        return passes(job)

    crew = Crew(store, script).run()
    assert [score.says for score in scores(store, run)] == [Says.FAIL]
    assert [new for _, _, new in crew.noted.verdicts] == [False]


def test_controls_are_run_each_time_and_nothing_pauses_while_they_come_out_right(store: Store) -> None:
    for number in range(0, 4, 2):
        control(store, number, canonical=True)
        control(store, number + 1, canonical=False)
    crew = Crew(store).run()
    assert outcomes(store) == [Outcome.PASS, Outcome.FAIL] * 2
    assert len(crew.ran) == len(set(crew.ran)) == 4
    assert not crew.noted.messages
    assert not store.evidence.gaps()


def test_both_families_of_a_pair_are_scored(store: Store) -> None:
    sample = a_sample(0, suite=f"five:{FIVE.digest}", task_id=TASK.task_id)
    first = a_run(sample, Side.FIRST, answer=answer(0))
    second = a_run(sample, Side.SECOND, answer=answer(1, WRONG), role=Role.MIRROR)
    store.add(sample, first, second)
    Crew(store, again=1.0).run()
    assert [(one, two) for _, one, two in store.evidence.pairs()] == [(Outcome.PASS, Outcome.FAIL)]
    reruns = [event for event in store.evidence.events(Wanted()) if isinstance(event, Rerun)]
    assert [rerun.flipped for rerun in reruns] == [False, False]
    assert (reruns[0].key.first, reruns[0].key.second) == (FIRST, SECOND)


def test_a_slot_that_cant_start_ends_it_before_anything_is_claimed(store: Store) -> None:
    waiting(store, 0)

    class Broken(ScriptedSlot):
        def __enter__(self) -> Broken:
            raise SandboxError("no walls")

    with pytest.raises(SandboxError, match="no walls"):
        Crew(store, slot=Broken).worker.run()
    (claim,) = store.claim("b", seconds=9)
    assert claim.attempt == 1


def test_what_breaks_on_a_run_keeps_its_lease_and_the_rest_is_free(store: Store, time: Time) -> None:
    """So that what ends its workers is given up after five, and not claimed for ever."""
    waiting(store, 0)

    def script(job: Job) -> Ended:
        if "answer 0" in job.candidate:
            raise ZeroDivisionError
        return passes(job)

    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            Crew(store, script, time=time, lease=60.0).run()
        time.now += 60
    waiting(store, 1)
    Crew(store, script, time=time).run()
    assert outcomes(store) == [Outcome.ERROR, Outcome.PASS]
