"""What a claimed run comes to: one verdict, or two if it is one of those that are scored again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.sandbox.interpreter import SandboxError
from gateway.shadow.score.check import Checker
from gateway.shadow.score.repeated import Repeated
from gateway.shadow.score.samples import Sample as Asked
from gateway.shadow.score.verdict import NOT_RUN, Says, Verdict
from gateway.shadow.store import Claim, Sample
from gateway.shadow.suites.task import Suite, Task
from gateway.shadow.worker.answer import known, to_check

_CUT = "length"
"""The finish reason of an answer that was cut at its limit of tokens: a fail, and its code is not all there."""


def suite_key(suite: Suite) -> str:
    """What samples of exactly this suite call it: another version of its tests has another digest."""
    return f"{suite.name}:{suite.digest}"


class SandboxDown(Exception):
    """Not even a task's own solution can be run, so nothing that is run now says anything of an answer."""


class Scoring:
    """The suites that this worker has, and what was learnt of their tasks. Threads share it.

    `again`: the share of answers that are scored a second time. Which they are hangs on the run's id alone, so a run
    that is another worker's in the end is scored as often as it would have been here.
    """

    def __init__(self, suites: Iterable[Suite], new_checker: Callable[[], Checker], *, again: float) -> None:
        self._suites = {suite_key(suite): suite for suite in suites}
        self._new_checker, self._again = new_checker, again
        self._checkers: dict[str, Checker] = {}
        self.forget()

    @property
    def suites(self) -> tuple[str, ...]:
        return tuple(self._suites)

    def forget(self) -> None:
        """What was learnt of tasks (whether their own solutions pass): it was learnt while scoring was broken."""
        # One for each suite: two versions of a suite have tasks of the same ids.
        self._checkers = {key: self._new_checker() for key in self._suites}

    def verdicts(self, claim: Claim, slot: Repeated) -> tuple[Verdict, ...]:
        """In the order of their numbers. May take minutes. Raises SandboxDown."""
        run, sample = claim.run, claim.sample
        task = self._suites[sample.suite].tasks.get(sample.task_id)
        if task is None:
            return (_not_run(sample, Says.ERROR, "the suite has no such task"),)
        if run.finish_reason == _CUT:
            return (_not_run(sample, Says.FAIL, "the answer was cut at its limit of tokens"),)
        if run.answer is None:
            return (_not_run(sample, Says.ERROR, "the answer was not kept"),)
        asked, checker = to_check(claim, task), self._checkers[sample.suite]
        try:
            first = _checked(checker, asked, task, slot)
            if first.level == NOT_RUN or first.says is Says.ERROR or not is_scored_again(run.id, self._again):
                return (first,)
            return first, _checked(checker, asked, task, slot)
        except SandboxError as error:
            raise SandboxDown(str(error)) from error


def _checked(checker: Checker, asked: Asked, task: Task, slot: Repeated) -> Verdict:
    """What an answer's own sandbox died of is an error of this run alone, unless nothing else can be run either."""
    verdict, lost = _tried(checker, asked, slot)
    if not lost:
        return verdict
    _, lost = _tried(checker, known(task, task.canonical_solution, "can anything be run"), slot)
    if lost:
        raise SandboxDown("its server dies whatever it runs, a task's own solution too")
    return checker.check(asked, slot)


def _tried(checker: Checker, asked: Asked, slot: Repeated) -> tuple[Verdict, bool]:
    """And whether the sandbox died twice of the last job of it."""
    slot.lost = False
    return checker.check(asked, slot), slot.lost


def is_scored_again(run_id: str, share: float) -> bool:
    """Of many runs this share; a greater share has all of a lesser one."""
    return int(sha256(run_id.encode()).hexdigest()[:13], 16) < share * 16**13


def fails(sample: Sample, verdict: Verdict) -> bool:
    """Whether it is a control's, and the wrong one. None at all (an error) shows nothing."""
    passed = Outcome(verdict.says.value).passed
    return sample.control is not None and passed is not None and passed is not sample.control


def holds(sample: Sample, verdict: Verdict) -> bool:
    """Whether it is a control's, and the right one."""
    return sample.control is not None and Outcome(verdict.says.value).passed is sample.control


def _not_run(sample: Sample, says: Says, reason: str) -> Verdict:
    return Verdict(sample.task_id, says, NOT_RUN, 0.0, reason, program="")
