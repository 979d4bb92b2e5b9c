"""`yardstick observe` as a command: it starts all of it, says where it is, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from gateway.demo.observe.prometheus import NotInstalled, Prometheus, find_prometheus
from tests.fakes.otlp import HTTP, Received, receiver
from tests.fakes.started import until

pytestmark = pytest.mark.timeout(240)
_QUERIES = {"requests": "sum by (model) (rate(yardstick_requests_total[$__rate_interval]))", "up": "sum(up)"}


@pytest.fixture(autouse=True)
def binary() -> Path:
    try:
        return find_prometheus()
    except NotInstalled as error:
        pytest.skip(str(error))


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="ys-") as folder:
        yield Path(folder)


@pytest.fixture
def dashboards(tmp_path: Path) -> Path:
    folder = tmp_path / "json"
    folder.mkdir()
    panels = [{"title": name, "targets": [{"refId": "A", "expr": expression}]} for name, expression in _QUERIES.items()]
    (folder / "mine.json").write_text(json.dumps({"title": "mine", "panels": panels}))
    return folder


@pytest.fixture
def traced() -> Iterator[Received]:
    with receiver(HTTP) as received:
        yield received


@pytest.fixture
def started(temporary: Path, dashboards: Path, traced: Received) -> Iterator[subprocess.Popen[str]]:
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": traced.url, "OTEL_TRACES_SAMPLER": "always_on"}
    with subprocess.Popen(
        command(dashboards), stdout=subprocess.PIPE, text=True, env=environment(temporary) | named
    ) as process:
        yield process
        process.terminate()  # if the test failed, so that what it has started ends, too
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()


def command(dashboards: Path, *more: str) -> list[str]:
    ports = ("--port", "0", "--prometheus-port", "0")
    return [sys.executable, "-m", "gateway", "observe", *ports, "--dashboards", str(dashboards), *more]


def environment(folder: Path) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    return {**found, "TMPDIR": str(folder), "YARDSTICK_PROMETHEUS": str(find_prometheus())}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_all_is_and_leaves_nothing(
    started: subprocess.Popen[str], dashboards: Path, temporary: Path, traced: Received, number: signal.Signals
) -> None:
    assert started.stdout is not None
    said = ""
    for line in started.stdout:
        said += line
        if "until Ctrl-C" in line:
            break
    assert started.poll() is None, said
    (gateway,) = re.findall(r"^gateway +(http://\S+)", said, re.MULTILINE)
    (url,) = re.findall(r"^Prometheus +(http://\S+)", said, re.MULTILINE)
    assert str(dashboards) in said
    with urlopen(f"{gateway}/metrics", timeout=30) as response:
        assert b"yardstick_requests" in response.read()
    prometheus = Prometheus(url)
    assert until(lambda: [series.samples[0][1] for series in prometheus.query("sum(up)")] == [4.0], 60)
    assert until(lambda: bool(prometheus.query("yardstick_requests_total > 0")), 60)
    assert "yardstick" in {span.service for span in traced.wait_for_spans(1)}
    processes = below(started.pid)
    assert len(processes) >= 6  # three model servers, the gateway and what is beside it, Prometheus
    started.send_signal(number)
    assert started.wait(60) == 0
    assert until(lambda: not any(map(is_there, processes)), 30)
    assert list(temporary.iterdir()) == []


def test_once_tells_what_each_query_answered(dashboards: Path, temporary: Path) -> None:
    found = subprocess.run(
        command(dashboards, "--once", "--json"),
        stdout=subprocess.PIPE,
        text=True,
        env=environment(temporary),
        timeout=200,
    )
    assert found.returncode == 0, found.stdout
    answers = json.loads(found.stdout)
    assert [(each["panel"], each["query"], each["complaint"]) for each in answers] == [
        (name, expression, "") for name, expression in _QUERIES.items()
    ]
    assert all(each["series"] >= 1 for each in answers)


@pytest.mark.parametrize(
    ("given", "line"),
    [((), "yardstick observe"), (("ONCE=1", "PROMETHEUS=/p"), "yardstick observe --once --prometheus /p")],
)
def test_make_calls_it(given: tuple[str, ...], line: str) -> None:
    found = subprocess.run(
        ["make", "--dry-run", "observe", *given],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=30,
    )
    assert [said.split() for said in found.stdout.splitlines() if "yardstick observe" in said] == [
        f".venv/bin/{line}".split()
    ]


def below(pid: int) -> list[int]:
    """The process's children, their children and so on."""
    found = list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return [*found, *(each for child in found for each in below(child))]


def is_there(pid: int) -> bool:
    """A process that has ended, but that nobody has asked for, is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
