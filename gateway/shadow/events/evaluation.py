"""What an event says of a verdict: nothing of the answer or the prompt, and no reason, which may quote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.shadow.score.verdict import NOT_RUN, Says, Verdict
from gateway.shadow.store import Claim, Role
from gateway.telemetry import event_names as names

Attributes = Mapping[str, str | float | Sequence[str]]

NAME = "unit_tests"
"""Of the evaluation: whether the answer's code passes its task's tests."""
NOT_SCORED, OTHER = "not_run", "_OTHER"
"""As `error.type`: nothing could be run (a library is missing, or the answer), or scoring failed while it ran."""

_CUT = "length"
_EXPLANATIONS = {
    Says.PASS: "every test of the task passed",
    Says.FAIL: "not every test of the task passed",
    Says.TIMEOUT: "the tests did not end in time",
    Says.ERROR: "it could not be scored, which is no fault of the answer",
}


def attributes_of(claim: Claim, verdict: Verdict, categories: Sequence[str]) -> Attributes:
    """A score is 1 or 0; an error has none. `categories`: of the task, or its domains."""
    run, sample, served = claim.run, claim.sample, claim.run.served
    found: dict[str, str | float | Sequence[str]] = {
        names.EVALUATION_NAME: NAME,
        names.SCORE_LABEL: verdict.says.value,
        names.EXPLANATION: _explanation(claim, verdict),
        names.MODEL: served.model,
        names.FAMILY: served.family,
        names.REVISION: served.revision,
        names.SUITE: sample.suite,
        names.TASK: sample.task_id,
        names.CATEGORIES: tuple(categories),
        names.FORM: sample.form,
        names.EVIDENCE: (Role.MIRROR.value if run.role is Role.MIRROR else sample.kind.value),
        names.VERDICT: verdict.says.value,
        names.LEVEL: verdict.level,
        names.SECONDS: verdict.seconds,
    }
    if verdict.says is Says.ERROR:
        found[names.ERROR_TYPE] = NOT_SCORED if verdict.level == NOT_RUN else OTHER
    else:
        found[names.SCORE_VALUE] = float(verdict.says is Says.PASS)
    if run.role is Role.LIVE and sample.request_id:  # a mirror's and a canary's is of no answer that a client got
        found[names.RESPONSE_ID] = sample.request_id
    return found


def _explanation(claim: Claim, verdict: Verdict) -> str:
    if verdict.says is Says.FAIL and claim.run.finish_reason == _CUT:
        return "the answer was cut at its limit of tokens"
    return _EXPLANATIONS[verdict.says]
