"""From what the tap hands over to samples."""

from __future__ import annotations

import json
from collections import Counter as Counts
from dataclasses import replace
from typing import Any

import pytest

from gateway.shadow.gate.draws import Kind
from gateway.shadow.live.intake import Intake, Known, MatchedSample
from gateway.shadow.match import Form, Matcher
from gateway.shadow.store import Counter, Role, Side, State
from gateway.shadow.suites.load import load
from gateway.shadow.tap.frames import Observed
from tests.fakes.server import unary
from tests.gateway.shadow.gate.worlds import FIRST, SECOND

FIVE = load("five")
TASK = FIVE.tasks[sorted(FIVE.tasks)[0]]
KNOWN = Known("five:digest", FIVE, Matcher(FIVE.tasks.values()))
CHAT = "/v1/chat/completions"


class Taken:
    def __init__(self) -> None:
        self.matched = list[MatchedSample]()
        self.counts = Counts[tuple[Counter, str, str]]()
        self.intake = Intake(
            [KNOWN],
            {FIRST.model: FIRST, SECOND.model: SECOND},
            {FIRST.model: Side.FIRST, SECOND.model: Side.SECOND},
            self.matched.append,
            lambda *what: self.counts.update([what]),
        )

    def take(self, content: str = TASK.instruct_prompt, **fields: Any) -> MatchedSample | None:
        before = len(self.matched)
        self.intake.take(observed(content, **fields))
        return self.matched[-1] if len(self.matched) > before else None


def observed(content: str = TASK.instruct_prompt, more: dict[str, Any] | None = None, **fields: Any) -> Observed:
    body = {"model": "auto", "messages": [{"role": "user", "content": content}], **(more or {})}
    usual: dict[str, Any] = {
        "request_id": "r-1",
        "at": 1.5,
        "key": "team-a",
        "route": CHAT,
        "model": FIRST.model,
        "prompt_tokens": 900,
        "bound": True,
        "propensity": 0.25,
        "body": json.dumps(body).encode(),
        "answer": unary("```python\npass\n```"),
        "stream": False,
        "cancelled": False,
        "used_in": 300,
        "used_out": 9,
    }
    return Observed(**usual | fields)


@pytest.fixture
def taken() -> Taken:
    return Taken()


def test_a_known_task_becomes_a_sample_that_waits(taken: Taken) -> None:
    found = taken.take(more={"temperature": 0.7, "stop": ["x"]})
    assert found is not None
    sample, run = found.sample, found.run
    assert (sample.kind, sample.suite, sample.task_id, sample.form) == (
        Kind.LIVE_EXACT,
        "five:digest",
        TASK.task_id,
        Form.INSTRUCT,
    )
    assert (sample.key, sample.request_id, sample.propensity, sample.at) == ("team-a", "r-1", 0.25, 1.5)
    assert sample.sampling == "temperature=0.7"
    assert sample.prompt == TASK.instruct_prompt
    assert (run.side, run.role, run.served, run.state) == (Side.FIRST, Role.LIVE, FIRST, State.WAITING)
    assert (run.answer, run.finish_reason, run.tokens_in, run.tokens_out) == ("```python\npass\n```", "stop", 300, 9)
    assert taken.counts == {(Counter.MATCHED, FIRST.model, ""): 1}


def test_the_model_servers_count_where_ours_was_only_a_bound(taken: Taken) -> None:
    bound, counted = taken.take(), taken.take(bound=False)
    unknown = taken.take(used_in=0)
    assert bound is not None
    assert counted is not None
    assert unknown is not None
    assert [each.sample.prompt_tokens for each in (bound, counted, unknown)] == [300, 900, 900]


def test_the_same_request_is_the_same_sample_and_others_are_others(taken: Taken) -> None:
    ids = [found.sample.id for at in (1.5, 1.5, 2.0) if (found := taken.take(at=at)) is not None]
    assert ids[0] == ids[1] != ids[2]


def test_an_unknown_prompt_is_counted_and_its_length_is(taken: Taken) -> None:
    assert taken.take(content="import pandas\nwhat is this?") is None
    assert taken.counts == {(Counter.UNMATCHED, FIRST.model, ""): 1}
    assert taken.intake.mix.requests == 4  # one in four was sampled
    assert taken.intake.mix.libraries == {"pandas": 4}


def test_samples_stand_for_as_many_requests_as_their_share_says(taken: Taken) -> None:
    for _ in range(3_000):
        taken.take(content="what is this?", propensity=0.4)
    taken.take(content="what is this?", propensity=1.0)
    assert 7_350 < taken.intake.mix.requests < 7_650  # 7,501, and five standard deviations


def test_a_client_that_left(taken: Taken) -> None:
    found = taken.take(cancelled=True, answer=b"")
    assert found is not None
    assert (found.run.state, found.run.answer) == (State.CANCELLED, None)


def test_an_answer_that_can_not_be_read(taken: Taken) -> None:
    found = taken.take(answer=b"{")
    assert found is not None
    assert (found.run.state, found.run.answer) == (State.ERROR, None)


def test_secrets_are_cut_out(taken: Taken) -> None:
    key = "sk-proj-" + "Ab1" * 16
    found = taken.take(f"{TASK.instruct_prompt}\nKEY = '{key}'", answer=unary(f"KEY = '{key}'"))
    assert found is not None
    assert found.run.redacted
    assert key not in str(found.run.answer)
    assert key not in str(found.sample.prompt)


def test_a_completion_was_sent_as_it_is(taken: Taken) -> None:
    body = json.dumps({"model": "auto", "prompt": TASK.complete_prompt}).encode()
    text = json.dumps({"choices": [{"index": 0, "text": "    return 1", "finish_reason": "stop"}]}).encode()
    found = taken.take(route="/v1/completions", body=body, answer=text)
    assert found is not None
    assert (found.sample.form, found.run.served) == (Form.COMPLETE, replace(FIRST, template="none"))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000])
def test_what_can_not_be_read_is_counted(taken: Taken, body: bytes) -> None:
    assert taken.take(body=body) is None
    assert taken.counts == {(Counter.DROPPED, "", "unreadable"): 1}
