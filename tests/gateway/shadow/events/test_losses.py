"""A receiver that is away, refuses or hangs: scoring goes on at its pace, and every lost event is counted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gateway.shadow.events.evaluation import attributes_of
from gateway.shadow.events.export import ExportedEvents, exporter
from gateway.shadow.score.verdict import Says, Verdict
from gateway.shadow.store import Claim, Store
from tests.fakes.otlp import Received
from tests.gateway.shadow.events.scenes import scoring
from tests.gateway.shadow.store.evidence import a_run, a_sample
from tests.gateway.shadow.worker.scenes import outcomes, waiting

SAMPLE = a_sample()
CLAIM = Claim(a_run(SAMPLE), SAMPLE, "a", 1, 0.0)
AN_EVENT = attributes_of(CLAIM, Verdict("t", Says.PASS, "bubblewrap/separate", 0.1, "", ""), ())
FIRST_LOSS = "OpenTelemetry: events of verdicts can't be sent. Scoring goes on; what is lost is counted"


@pytest.fixture
def nobody(protocol: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment names an address at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{bound.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
        yield


@pytest.mark.usefixtures("nobody")
def test_without_a_receiver_scoring_goes_on_and_losses_are_counted(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):
        waiting(store, number)
    with scoring(store) as scene:
        noted = scene.run()
    assert len(noted.verdicts) == 20
    assert outcomes(store) == ["pass"] * 20
    assert scene.events.counted == {"sent": 0, "lost": 20}
    assert scene.said == [FIRST_LOSS, "OpenTelemetry: of 20 events of verdicts 20 were lost"]
    assert capfd.readouterr() == ("", "")  # the SDK says nothing by itself


def test_what_a_receiver_refuses_is_lost_though_a_flush_says_all_is_well(store: Store, received: Received) -> None:
    received.on_request = lambda: False
    waiting(store, 0)
    with scoring(store) as scene:
        scene.run()
    assert scene.events.counted == {"sent": 0, "lost": 1}


def test_a_receiver_that_hangs_makes_nobody_wait(received: Received, protocol: str) -> None:
    """All but what may wait is lost at once, and the rest when it is closed."""
    hangs, came = threading.Event(), threading.Event()

    def hang() -> bool:
        came.set()
        return hangs.wait(30)

    received.on_request = hang
    said: list[str] = []
    events = ExportedEvents(exporter(protocol), said.append, patience=0.1)
    try:
        for _ in range(5_000):
            events.emit(AN_EVENT)
        assert events.counted == {"sent": 0, "lost": 5_000 - 2_048}
        assert came.wait(30)
        events.close()
        assert events.counted == {"sent": 0, "lost": 5_000}
        assert said == [FIRST_LOSS, "OpenTelemetry: of 5,000 events of verdicts 5,000 were lost"]
        events.emit(AN_EVENT)
        assert events.counted == {"sent": 0, "lost": 5_001}
    finally:
        hangs.set()


def test_after_an_outage_events_are_sent_again(received: Received, protocol: str) -> None:
    said: list[str] = []
    refuses = threading.Event()
    refuses.set()
    refused = threading.Event()

    def take() -> bool:
        if refuses.is_set():
            refused.set()
            return False
        return True

    received.on_request = take
    events = ExportedEvents(exporter(protocol), said.append)
    events.emit(AN_EVENT)
    assert refused.wait(30)
    refuses.clear()
    events.emit(AN_EVENT)
    assert len(received.wait_for(1)) == 1
    events.close()
    assert events.counted == {"sent": 1, "lost": 1}
