"""What a claimed run comes to: one verdict, or two if it is one of those that are scored again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256

from gateway.shadow.gate.draws import Outcome
from gateway.shadow.score.check import Checker, Runs
from gateway.shadow.score.verdict import NOT_RUN, Says, Verdict
from gateway.shadow.store import Claim, Sample
from gateway.shadow.suites.task import Suite
from gateway.shadow.worker.answer import to_check

_CUT = "length"
"""The finish reason of an answer that was cut at its limit of tokens: a fail, and its code is not all there."""


def suite_key(suite: Suite) -> str:
    """What samples of exactly this suite call it: another version of its tests has another digest."""
    return f"{suite.name}:{suite.digest}"


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

    def verdicts(self, claim: Claim, slot: Runs) -> tuple[Verdict, ...]:
        """In the order of their numbers. May take minutes."""
        run, sample = claim.run, claim.sample
        task = self._suites[sample.suite].tasks.get(sample.task_id)
        if task is None:
            return (_not_run(sample, Says.ERROR, "the suite has no such task"),)
        if run.finish_reason == _CUT:
            return (_not_run(sample, Says.FAIL, "the answer was cut at its limit of tokens"),)
        if run.answer is None:
            return (_not_run(sample, Says.ERROR, "the answer was not kept"),)
        checker, asked = self._checkers[sample.suite], to_check(claim, task)
        first = checker.check(asked, slot)
        if first.level == NOT_RUN or first.says is Says.ERROR or not is_scored_again(run.id, self._again):
            return (first,)
        return first, checker.check(asked, slot)


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
