"""Nothing configured, nothing done; what can't be used is said, and nobody is served less for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes, url_attributes

from gateway.config_traces import TraceSettings
from gateway.telemetry import span_names as names
from gateway.telemetry.traces import Traces, open_traces

ASKS = """
import json, os, sys, threading, time
import gateway.process
from gateway.config_traces import TraceSettings
from gateway.telemetry.traces import open_traces
for settings in json.loads(sys.argv[1]):
    os.environ |= settings
    traces = open_traces(TraceSettings(), print)
    loaded = sorted({name.partition(".")[0] for name in sys.modules} & {"opentelemetry", "grpc", "google", "requests"})
    print(traces, loaded, threading.active_count())
    for name in settings:
        del os.environ[name]
"""
ELSEWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
OF_NOBODY = [
    {},
    {"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_SAMPLER": "always_on"},
    {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:1"},
    {**ELSEWHERE, "OTEL_SDK_DISABLED": "TRUE"},
    {**ELSEWHERE, "OTEL_TRACES_EXPORTER": "none"},
    {**ELSEWHERE, "OTEL_EXPORTER_OTLP_ENDPOINT": ""},
]


def opened(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], **own: float) -> tuple[Traces | None, list[str]]:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    traces = open_traces(TraceSettings.model_validate(own), said.append)
    if traces is not None:
        traces.close()
    return traces, said


def test_without_a_receiver_nothing_is_imported_and_no_thread_runs() -> None:
    command = [sys.executable, "-c", ASKS, json.dumps(OF_NOBODY)]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert asked.stdout == "None [] 1\n" * len(OF_NOBODY)


@pytest.mark.parametrize(
    "settings",
    [
        ELSEWHERE,
        {"OTEL_TRACES_EXPORTER": "console, otlp"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_with_one_there_are_traces(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    traces, said = opened(monkeypatch, settings)
    assert traces is not None
    assert (traces.sink.counted, said) == ({"sent": 0, "lost": 0}, [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
            "the protocol is http/json, and can be grpc or http/protobuf",
        ),
        ({"OTEL_TRACES_SAMPLER_ARG": "2"}, "OTEL_TRACES_SAMPLER_ARG has to be a number from 0 to 1"),
        ({"OTEL_TRACES_SAMPLER_ARG": "nan"}, "OTEL_TRACES_SAMPLER_ARG has to be a number from 0 to 1"),
        (
            {"OTEL_TRACES_SAMPLER": "jaeger_remote"},
            "OTEL_TRACES_SAMPLER is jaeger_remote, and can be one of always_on, parentbased_always_on, always_off,"
            " parentbased_always_off, traceidratio, parentbased_traceidratio",
        ),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100000"}, "an OTEL_ variable can't be used (ValueError)"),
    ],
)
def test_what_cant_be_used_is_told_without_quoting_it(
    settings: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened(monkeypatch, ELSEWHERE | settings) == (None, [f"OpenTelemetry: no traces are sent: {message}"])


@pytest.mark.parametrize("wrong", [{"OTEL_EXPORTER_OTLP_TIMEOUT": "s3cret"}, {"OTEL_EXPORTER_OTLP_HEADERS": "s3cret"}])
def test_the_sdk_prints_nothing_of_what_it_can_t_read(
    wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    traces, said = opened(monkeypatch, ELSEWHERE | wrong)
    assert (traces is not None, said) == (True, [])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "own", "share"),
    [
        ({}, {}, 0.01),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.25"}, {}, 0.25),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, {}, 0.25),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, {}, 1.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, {}, 0.0),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, {}, 1.0),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, {"sample": 0.5}, 0.5),
    ],
)
def test_the_share_is_the_setting_s_or_the_environment_s(
    settings: dict[str, str], own: dict[str, float], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces, _ = opened(monkeypatch, ELSEWHERE | settings, **own)
    assert traces is not None
    assert traces._bound == share * 2**64


def test_names_are_the_conventions_and_explained() -> None:
    modules = (gen_ai_attributes, error_attributes, http_attributes, server_attributes, url_attributes)
    conventions = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    ours = {value for name, value in vars(names).items() if name.isupper() and "." in value and "/" not in value}
    ours -= {names.SCOPE}
    assert {name for name in ours if not name.startswith("yardstick.")} <= conventions
    text = (Path(names.__file__).parent / "traces" / "README.md").read_text()
    unexplained = {name for name in ours if f"`{name}`" not in text and f"`.{name.rpartition('.')[2]}`" not in text}
    assert unexplained == set()
