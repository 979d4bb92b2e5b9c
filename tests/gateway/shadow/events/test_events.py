"""New verdicts become events, as real receivers get them over HTTP and gRPC; each once, and with nothing secret."""

from __future__ import annotations

import time

import pytest

from gateway.shadow.gate.draws import Kind
from gateway.shadow.score.verdict import Says
from gateway.shadow.store import Role, Store
from gateway.telemetry import event_names as names
from tests.fakes.otlp import Event, Received
from tests.fakes.slot import ends, passes
from tests.gateway.shadow.events.scenes import scoring
from tests.gateway.shadow.gate.worlds import FIRST
from tests.gateway.shadow.store.evidence import a_score
from tests.gateway.shadow.worker.scenes import FIVE, TASK, WRONG, by_mark, control, outcomes, suite_key, waiting

REGISTERED = {
    value for name, value in vars(names).items() if name.isupper() and name not in ("CONVENTIONS", "EVALUATION_RESULT")
}


def by_label(events: list[Event]) -> dict[str, Event]:
    assert len({event.attributes[names.SCORE_LABEL] for event in events}) == len(events)
    return {event.attributes[names.SCORE_LABEL]: event for event in events}


def test_what_an_event_says_of_a_verdict(store: Store, received: Received) -> None:
    live = {"kind": Kind.LIVE_NEAR, "role": Role.LIVE, "request_id": "req-1", "form": "instruct"}
    waiting(store, 0, **live)
    waiting(store, 1, note=WRONG)
    before = time.time()
    with scoring(store) as scene:
        scene.run()
        events = by_label(received.wait_for(2))
    passed, failed = events["pass"], events["fail"]
    assert passed.attributes == {
        names.EVALUATION_NAME: "unit_tests",
        names.SCORE_VALUE: 1.0,
        names.SCORE_LABEL: "pass",
        names.EXPLANATION: "every test of the task passed",
        names.RESPONSE_ID: "req-1",
        names.MODEL: FIRST.model,
        names.FAMILY: FIRST.family,
        names.REVISION: FIRST.revision,
        names.SUITE: suite_key(FIVE),
        names.TASK: TASK.task_id,
        names.CATEGORIES: list(TASK.groups),
        names.FORM: "instruct",
        names.EVIDENCE: "live-near",
        names.VERDICT: "pass",
        names.LEVEL: "bubblewrap/separate",
        names.SECONDS: 0.25,
    }
    assert (failed.attributes[names.SCORE_VALUE], failed.attributes[names.EVIDENCE]) == (0.0, "canary")
    assert names.RESPONSE_ID not in failed.attributes
    assert passed.name == "gen_ai.evaluation.result"
    assert (passed.schema, passed.scope, passed.service) == (names.CONVENTIONS, "yardstick.shadow", "yardstick-shadow")
    assert before <= passed.at <= time.time()


def test_what_is_emitted_is_what_is_registered_both_ways(store: Store, received: Received) -> None:
    waiting(store, 0, kind=Kind.LIVE_EXACT, role=Role.LIVE, request_id="req-1")
    waiting(store, 1, task_id="gone")
    with scoring(store) as scene:
        scene.run()
        emitted = {name for event in received.wait_for(2) for name in event.attributes}
    assert emitted == REGISTERED


def test_an_error_has_a_type_and_no_score(store: Store, received: Received) -> None:
    waiting(store, 0, task_id="gone", role=Role.MIRROR, kind=Kind.LIVE_EXACT, request_id="the live answer's")
    with scoring(store) as scene:
        scene.run()
        (event,) = received.wait_for(1)
    assert event.attributes[names.ERROR_TYPE] == "not_run"
    assert event.attributes[names.SCORE_LABEL] == "error"
    assert event.attributes[names.EVIDENCE] == "mirror"
    assert {names.SCORE_VALUE, names.RESPONSE_ID} & set(event.attributes) == set()


def test_a_timeout_and_a_cut_answer_score_nothing(store: Store, received: Received) -> None:
    waiting(store, 0)
    waiting(store, 1, finish_reason="length")
    known = TASK.program(TASK.canonical_solution)
    with scoring(store) as scene:
        scene.run(lambda job: passes(job) if job.candidate == known else ends("cpu"))
        events = by_label(received.wait_for(2))
    assert [events[says].attributes[names.SCORE_VALUE] for says in ("timeout", "fail")] == [0.0, 0.0]
    assert events["fail"].attributes[names.EXPLANATION] == "the answer was cut at its limit of tokens"


@pytest.mark.parametrize("again", [0.0, 1.0])
def test_a_verdict_that_another_recorded_before_makes_none(store: Store, received: Received, again: float) -> None:
    late, first = waiting(store, 0), waiting(store, 1)

    def overtaken(job: object) -> object:
        store.record(a_score(late, Says.FAIL))
        return by_mark(job)  # type: ignore[arg-type]

    with scoring(store) as scene:
        noted = scene.run(overtaken, again=again)  # type: ignore[arg-type]
        assert dict.fromkeys((run, new) for run, _, new in noted.verdicts) == {
            (late.id, False): None,
            (first.id, True): None,
        }
        received.wait_for(1)
    assert [event.attributes[names.TASK] for event in received.events] == [TASK.task_id]
    assert outcomes(store) == ["fail", "pass"]


def test_scored_again_is_one_event_and_a_control_none(store: Store, received: Received) -> None:
    control(store, 0, canonical=True)
    waiting(store, 1)
    with scoring(store) as scene:
        noted = scene.run(again=1.0)
        assert len(noted.verdicts) == 4
        received.wait_for(1)
    assert len(received.events) == 1


def test_headers_service_and_an_endpoint_for_logs_alone(
    store: Store, received: Received, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = received.url if protocol == "grpc" else f"{received.url}/elsewhere"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", alone)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=t0ken")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "our-shadow")
    waiting(store, 0)
    with scoring(store) as scene:
        scene.run()
        (event,) = received.wait_for(1)
    assert event.service == "our-shadow"
    assert received.headers[0]["x-token"] == "t0ken"
    assert received.paths == ["Export" if protocol == "grpc" else "/elsewhere"]
    assert b"t0ken" not in received.bodies[0]


def test_without_a_path_of_its_own_it_is_the_usual_one(store: Store, received: Received, protocol: str) -> None:
    waiting(store, 0)
    with scoring(store) as scene:
        scene.run()
        received.wait_for(1)
    assert received.paths == ["Export" if protocol == "grpc" else "/v1/logs"]


def test_what_waits_is_sent_at_the_end(store: Store, received: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "3600000")
    for number in range(3):
        waiting(store, number)
    with scoring(store) as scene:
        scene.run()
        assert received.events == []
    assert len(received.events) == 3
    assert scene.events.counted == {"sent": 3, "lost": 0}
    assert scene.said == []


@pytest.mark.parametrize("secret", ["in the answer", "in the prompt", "of the key"])
def test_nothing_secret_is_in_the_bytes(store: Store, received: Received, secret: str) -> None:
    word = "PLANTED-" + secret.replace(" ", "-")
    given = {"in the answer": {"note": word}, "in the prompt": {"prompt": word}, "of the key": {"key": word}}[secret]
    waiting(store, 0, **given)  # type: ignore[arg-type]
    waiting(store, 1, note=f"{WRONG} {word}")
    with scoring(store) as scene:
        scene.run()
        received.wait_for(2)
    assert all(word.encode() not in body for body in received.bodies)
