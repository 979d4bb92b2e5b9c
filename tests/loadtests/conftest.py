"""Short runs of locust, as a process of its own: it replaces Python's sockets, which must not happen in this one."""

from __future__ import annotations

import asyncio
import csv
import os
import re
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loadtests.run_load import LOCUST, LOCUSTFILE, LONG, ROOT, SHORT
from loadtests.servers import Server, processes

_ERROR = re.compile(r"^\d+ +E2E [^:]+: (.+?) *$", re.MULTILINE)  # of the report at the end
_ROW = re.compile(r"(|E2E|TTFT|between chunks|tokens/s|prompt tokens) +(\S.*?) +(\d+) +(\d+)\([^|]*\| +\d+ +(\d+) ")
_SECONDS = 60.0  # after which a run that should take a few is ended


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves tests marked ``load`` out unless they are asked for."""
    if config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("load")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@dataclass
class Run:
    """``rows``: locust's last table by type and name (the type of all together is empty): requests, failures, and the
    smallest value; ``failures``: messages; ``history``: rows of its CSV file, in order."""

    code: int
    output: str
    rows: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    history: list[dict[str, str]] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return self.rows["", "Aggregated"][1]

    def count(self, kind: str, name: str) -> int:
        return self.rows.get((kind, name), (0, 0, 0))[0]


Locust = Callable[..., Awaitable[Run]]


@pytest.fixture(scope="session")
def installed() -> Path:
    """A skip where locust is not installed."""
    if not LOCUST.exists():
        pytest.skip(f"{LOCUST} is missing: `make test-load` installs it")
    return LOCUST


@pytest.fixture
def locust(installed: Path, tmp_path: Path) -> Locust:
    """``await locust(host, *options, answers=20)``: runs until there are so many, or for ``seconds``."""

    async def run(host: str, *options: str, answers: int = 0, seconds: str = "50s") -> Run:
        prefix = tmp_path / "run"
        command = [str(installed), "-f", str(LOCUSTFILE), "--host", host, "--headless", "--only-summary"]
        command += ["--answers", str(answers), "--run-time", seconds, "--stop-timeout", "30"]
        command += ["--csv", str(prefix), "--csv-full-history"]
        code, output = await finished(*command, *options)
        return Run(
            code,
            output,
            rows(output),
            _ERROR.findall(output),
            _table(prefix, "stats_history"),
        )

    return run


async def finished(*command: str, seconds: float = _SECONDS) -> tuple[int, str]:
    """Exit code and what was said. The environment has nothing of this process's that would change it.

    After ``seconds`` it is ended, with what it has started.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


def rows(output: str) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Its CSV files are written every second, and not once more at the end."""
    found = (_ROW.match(line) for line in output.splitlines())
    return {(row[1], row[2]): (int(row[3]), int(row[4]), int(row[5])) for row in found if row}


def _table(prefix: Path, name: str) -> list[dict[str, str]]:
    file = Path(f"{prefix}_{name}.csv")
    return list(csv.DictReader(file.read_text("utf-8").splitlines())) if file.exists() else []


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Iterator[str]:
    """The address of a gateway in front of a simulated server for each family, twenty times faster than real ones."""
    with processes(tmp_path_factory.mktemp("servers")) as started:
        urls = {model: started.model_server(Server(model, ("--time-scale", "0.05"))) for model in (SHORT, LONG)}
        yield started.gateway({model: [url] for model, url in urls.items()})
