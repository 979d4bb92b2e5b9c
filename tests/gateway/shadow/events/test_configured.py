"""Nothing configured, nothing done; what can't be used is said, and nothing is scored less for it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gateway.shadow.events import open_events
from gateway.shadow.events.configured import Events

ASKS = """
import json, os, sys, threading
from gateway.cli.shadow import worker
from gateway.shadow.live import process
from gateway.shadow.events import open_events
for settings in json.loads(sys.argv[1]):
    os.environ |= settings
    events = open_events(print)
    loaded = sorted({name.partition(".")[0] for name in sys.modules} & {"opentelemetry", "grpc", "google", "requests"})
    print(events, loaded, threading.active_count())
    for name in settings:
        del os.environ[name]
"""
ELSEWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
OF_NOBODY = [
    {},
    {"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"},
    {**ELSEWHERE, "OTEL_SDK_DISABLED": "TRUE"},
    {**ELSEWHERE, "OTEL_LOGS_EXPORTER": "none"},
    {**ELSEWHERE, "OTEL_EXPORTER_OTLP_ENDPOINT": ""},
]


def test_without_a_receiver_nothing_is_imported_and_no_thread_runs() -> None:
    command = [sys.executable, "-c", ASKS, json.dumps(OF_NOBODY)]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert asked.stdout == "None [] 1\n" * len(OF_NOBODY)


@pytest.mark.parametrize("settings", [ELSEWHERE, {"OTEL_LOGS_EXPORTER": "console, otlp"}])
def test_with_one_there_are_events(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    events, said = opened()
    assert events is not None
    events.close()
    assert (events.counted, said) == ({"sent": 0, "lost": 0}, [])


def test_a_protocol_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json")
    assert opened() == (
        None,
        ["OpenTelemetry: no events are sent: the protocol is http/json, and can be grpc or http/protobuf"],
    )


def test_a_value_that_cant_be_used_is_told_without_quoting_it(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "s3cret")
    assert opened() == (None, ["OpenTelemetry: no events are sent: an OTEL_ variable can't be used (ValueError)"])


def opened() -> tuple[Events | None, list[str]]:
    said: list[str] = []
    return open_events(said.append), said
