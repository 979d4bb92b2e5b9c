"""From a sampled request to a sample in the store: is its prompt a known task, and what was answered?"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.shadow.canary.mix import LiveMix, libraries_in
from gateway.shadow.canary.request import COMPLETIONS
from gateway.shadow.gate.draws import Kind, Served
from gateway.shadow.live.answer import answer_of
from gateway.shadow.match import Form, Match, Matcher, prompt_of
from gateway.shadow.redact import redact
from gateway.shadow.store import Counter, Role, Run, Sample, Side, State, identify
from gateway.shadow.suites.task import Suite
from gateway.shadow.tap.frames import Observed
from gateway.shadow.worker.answer import NO_TEMPLATE

_SAMPLING = (
    *("temperature", "top_p", "top_k", "min_p", "n", "seed"),
    *("presence_penalty", "frequency_penalty", "max_tokens"),
)


@dataclass(frozen=True, slots=True)
class Known:
    """A suite, as samples call it, and the index of its prompts."""

    key: str
    suite: Suite
    matcher: Matcher


@dataclass(frozen=True, slots=True)
class MatchedSample:
    """`body`: the client's, decoded. `public`: the task's prompt, in which nothing can be secret."""

    sample: Sample
    run: Run
    route: str
    body: Mapping[str, Any]
    public: str


class Intake:
    """Called for each sampled request. `served`: as each model is served. `sides`: which family is which.

    Keeps the live mix, which says nothing of any one prompt.
    """

    def __init__(
        self,
        known: Sequence[Known],
        served: Mapping[str, Served],
        sides: Mapping[str, Side],
        give: Callable[[MatchedSample], None],
        count: Callable[[Counter, str, str], object],
        mix: LiveMix | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`count`: one more of a counter, of a model, for a reason. `mix`: what live traffic was like before."""
        self._known, self._served, self._sides = known, served, sides
        self._give, self._count, self._chance = give, count, chance
        self.mix = mix or LiveMix()

    def take(self, observed: Observed) -> None:
        try:
            body = json.loads(observed.body)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):  # the model server took it, so it is something that we can't read
            self._count(Counter.DROPPED, "", "unreadable")
            return
        prompt = prompt_of(body)
        text = prompt.text if prompt is not None else ""
        # As many as it stands for in the mean: where keys and models are sampled at different rates, live traffic is
        # not like its samples.
        stands_for = int(1 / observed.propensity + self._chance())
        self.mix.observe(_tokens(observed), libraries_in(text), _form(observed, body), stands_for=stands_for)
        found = self._match(prompt) if prompt is not None else None
        if found is None or observed.model not in self._sides:
            self._count(Counter.UNMATCHED, observed.model, "")
            return
        self._count(Counter.MATCHED, observed.model, "")
        self._give(self._sample(observed, body, text, *found))

    def _match(self, prompt: Any) -> tuple[Known, Match] | None:
        for known in self._known:
            if (match := known.matcher.match(prompt)) is not None:
                return known, match
        return None

    def _sample(
        self, observed: Observed, body: Mapping[str, Any], text: str, known: Known, match: Match
    ) -> MatchedSample:
        task = known.suite.tasks[match.task_id]
        public = f"{task.complete_prompt}\n{task.instruct_prompt}"
        sample = Sample(
            id=identify("live", observed.request_id, repr(observed.at)),
            at=observed.at,
            kind=Kind(match.kind.value),
            suite=known.key,
            task_id=match.task_id,
            form=match.form.value,
            prompt_tokens=_tokens(observed),
            propensity=observed.propensity,
            sampling=sampling_of(body),
            score=match.score,
            alike=match.alike,
            request_id=observed.request_id,
            key=observed.key,
            prompt=redact(text, public=public),
        )
        return MatchedSample(sample, self._run(observed, sample, public), observed.route, body, public)

    def _run(self, observed: Observed, sample: Sample, public: str) -> Run:
        answer = None if observed.cancelled else answer_of(observed.answer, stream=observed.stream)
        state = State.CANCELLED if observed.cancelled else State.ERROR if answer is None else State.WAITING
        text = redact(answer.text, public=public) if answer is not None else None
        served = self._served[observed.model]
        if observed.route == COMPLETIONS:  # sent as it is, to be continued
            served = replace(served, template=NO_TEMPLATE)
        return Run(
            sample_id=sample.id,
            side=self._sides[observed.model],
            role=Role.LIVE,
            served=served,
            state=state,
            finish_reason=answer.finish_reason if answer is not None else None,
            tokens_in=observed.used_in,
            tokens_out=observed.used_out,
            redacted=text is not None and answer is not None and text != answer.text,
            answer=text,
        )


def sampling_of(body: Mapping[str, Any]) -> str:
    """The parameters that the client gave, in words that tell two sets apart; the pool's own are in `Served`."""
    given = [f"{name}={json.dumps(body[name])}" for name in _SAMPLING if isinstance(body.get(name), int | float)]
    return " ".join(given)


def _tokens(observed: Observed) -> int:
    """Short prompts are seldom counted: a bound is enough to route them. The model server's count is better then.

    For a short prompt that the client sent to the long model it is in the long model's own tokens.
    """
    return observed.used_in if observed.bound and observed.used_in else observed.prompt_tokens


def _form(observed: Observed, body: Mapping[str, Any]) -> Form:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return Form.COMPLETE
    turns = sum(isinstance(each, dict) and each.get("role") not in ("system", "developer") for each in messages)
    return Form.CHAT if turns > 1 else Form.INSTRUCT
