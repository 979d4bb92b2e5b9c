"""What is run of an answer: the code cut out of it as the official harness does, or a control's known solution."""

from __future__ import annotations

from gateway.families import MODELS
from gateway.shadow.canary.prompt import prompt_of
from gateway.shadow.match.matcher import Form
from gateway.shadow.score.samples import Sample
from gateway.shadow.store import Claim, Run
from gateway.shadow.suites.task import Task

NO_TEMPLATE = "none"
"""As `Served.template`: the prompt was sent as it is, to be continued, also if the model could chat."""
_BASE_MODELS = frozenset(name for name, model in MODELS.items() if model.chat_template is None)


def to_check(claim: Claim, task: Task) -> Sample:
    """Its answer, which may not be None, as a sample of the task."""
    answer = claim.run.answer
    assert answer is not None
    if claim.sample.control is not None:
        return known(task, answer, f"control {claim.run.id}")
    if claim.sample.form == Form.COMPLETE and _continues(claim.run):
        answer = prompt_of(task, Form.COMPLETE, direct_completion=True).answer_start + answer
    return Sample(task, answer, len(answer), raw=True)


def known(task: Task, solution: str, name: str) -> Sample:
    """A solution whose verdict is known. Nothing is cut out of it: it begins with the entry point's body.

    A canonical solution, word for word, would share the run by which its task was learnt, perhaps hours ago, and show
    nothing of now. So each has a comment of its own.
    """
    return Sample(task, f"{solution}\n# {name}\n", len(solution))


def _continues(run: Run) -> bool:
    """Whether the answer goes on from where the prompt ended."""
    return run.served.template == NO_TEMPLATE or run.served.model in _BASE_MODELS
