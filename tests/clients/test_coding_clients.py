"""Coding agents, as installed and configured by a new user, each mend a real bug in a small repository.

`make test-agents` installs them into .clients/ and runs this. The model behind the gateway is a script (see
`scripted_model`): no model is judged here, only that every request and answer of an agent gets through.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.conftest import StartFake, StartGateway
from tests.fakes.gateway import LONG, SHORT, RunningGateway

from .conftest import INSTALLED, with_node
from .scripted_model import Bug, scripted

pytestmark = pytest.mark.agents

SECONDS = 90.0  # for one agent's whole run; they take 2 to 8 on an idle machine
BUG = Bug("stats.py", "    return sum(numbers) / (len(numbers) - 1)", "    return sum(numbers) / len(numbers)")
STATS = f'''"""Small statistics."""


def mean(numbers):
    if not numbers:
        raise ValueError("mean of nothing")
{BUG.wrong}
'''
TEST_STATS = """import unittest

from stats import mean


class MeanTest(unittest.TestCase):
    def test_mean(self):
        self.assertEqual(mean([1, 2, 6]), 3)
"""
TASK = "mean() in stats.py is wrong: test_stats.py fails. Mend it."
KEY = "a-key-of-mine"


@dataclass(frozen=True)
class Setup:
    """What an agent is started with, in ``repository``; ``home`` is its own empty home folder."""

    base_url: str
    repository: Path
    home: Path


@dataclass(frozen=True)
class Run:
    """``asks_elsewhere``: why it looks for other hosts than the gateway, where nothing can keep it from that."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    asks_elsewhere: str = ""


def aider(setup: Setup) -> Run:
    # Without it aider looks the model up on the internet, and assumes no window.
    known = {"openai/auto": {"max_input_tokens": 131072, "max_output_tokens": 8192, "litellm_provider": "openai"}}
    metadata = setup.home / "models.json"
    metadata.write_text(json.dumps(known))
    quiet = ["--analytics-disable", "--no-check-update", "--no-show-release-notes", "--no-show-model-warnings"]
    options = ["--model", "openai/auto", "--model-metadata-file", str(metadata), "--yes-always", "--no-gitignore"]
    program = str(INSTALLED / "aider/bin/aider")
    environment = {"OPENAI_API_BASE": setup.base_url, "OPENAI_API_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return Run([program, *options, *quiet, "--message", TASK, BUG.file], environment)


def aider_diff(setup: Setup) -> Run:
    run = aider(setup)
    return Run([*run.command, "--edit-format", "diff"], run.environment)


def opencode(setup: Setup) -> Run:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Yardstick",
        "options": {"baseURL": setup.base_url, "apiKey": KEY},
        "models": {"auto": {"limit": {"context": 131072, "output": 8192}}},
    }
    config = {
        "provider": {"yardstick": provider},
        "model": "yardstick/auto",
        "small_model": "yardstick/auto",
        "autoupdate": False,
        "share": "disabled",
    }
    (setup.repository / "opencode.json").write_text(json.dumps(config))
    offline = ("OPENCODE_DISABLE_MODELS_FETCH", "OPENCODE_DISABLE_LSP_DOWNLOAD", "OPENCODE_DISABLE_AUTOUPDATE")
    plugins = "it installs its plugin package in the background, and goes on without it"
    return Run([_npm("opencode"), "run", TASK], dict.fromkeys(offline, "1"), plugins)


def qwen_code(setup: Setup) -> Run:
    settings = {
        "general": {"enableAutoUpdate": False},
        "privacy": {"usageStatisticsEnabled": False},
        "model": {"generationConfig": {"samplingParams": {"max_tokens": 8192}}},
    }
    folder = setup.home / ".qwen"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(settings))
    environment = {"OPENAI_BASE_URL": setup.base_url, "OPENAI_API_KEY": KEY, "OPENAI_MODEL": "auto"}
    return Run([_npm("qwen"), "--auth-type", "openai", "--approval-mode", "auto-edit", TASK], environment)


def continue_cli(setup: Setup) -> Run:
    address = {"provider": "openai", "model": "auto", "apiBase": setup.base_url, "apiKey": KEY}
    model = {"name": "auto", **address, "roles": ["chat", "edit", "apply"], "capabilities": ["tool_use"]}
    config = setup.home / "config.yaml"
    config.write_text(yaml.safe_dump({"name": "Yardstick", "version": "1.0.0", "schema": "v1", "models": [model]}))
    command = [_npm("cn"), "-p", "--auto", "--config", str(config), TASK]
    service = "it asks its makers' service even with a config of one's own, and goes on without it"
    return Run(command, {"CONTINUE_CLI_ENABLE_TELEMETRY": "0", "CONTINUE_METRICS_ENABLED": "0"}, service)


def _npm(name: str) -> str:
    return str(INSTALLED / "agents/node_modules/.bin" / name)


def make_repository(folder: Path) -> None:
    folder.mkdir()
    (folder / BUG.file).write_text(STATS)
    (folder / "test_stats.py").write_text(TEST_STATS)
    identity = ["-c", "user.name=Tests", "-c", "user.email=tests@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "A mean"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    assert not its_tests_pass(folder), "there is nothing to mend"


def its_tests_pass(folder: Path) -> bool:
    return subprocess.run([sys.executable, "-m", "unittest", "-q"], cwd=folder, capture_output=True).returncode == 0


@asynccontextmanager
async def way_out(asked: list[str]) -> AsyncIterator[str]:
    """The address of a proxy that lets nothing through and notes what was asked of it."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode(errors="replace").strip())
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def execute(run: Run, setup: Setup, proxy: str) -> str:
    """Runs it to its end; its output. Ends its whole process group where it takes too long."""
    proxies = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), proxy)
    local = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", "NODE_USE_ENV_PROXY": "1"}
    environment = {"PATH": with_node(), "HOME": str(setup.home), "LANG": "C.UTF-8", "TERM": "dumb", **proxies, **local}
    child = await asyncio.create_subprocess_exec(
        *run.command,
        cwd=setup.repository,
        env=environment | run.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    reading = asyncio.ensure_future(child.communicate())
    try:
        output, _ = await asyncio.wait_for(asyncio.shield(reading), SECONDS)
    except TimeoutError:
        os.killpg(child.pid, signal.SIGKILL)
        output, _ = await reading
        pytest.fail(f"not done within {SECONDS:g} s:\n{output.decode(errors='replace')}")
    return output.decode(errors="replace")


@pytest.fixture
def setup_folders(tmp_path: Path) -> tuple[Path, Path]:
    repository, home = tmp_path / "repository", tmp_path / "home"
    make_repository(repository)
    home.mkdir()
    return repository, home


@pytest.fixture
async def gateway(fakes: StartFake, serving: StartGateway) -> RunningGateway:
    """Two scripted model servers with the windows of the real ones."""
    short = await fakes(script=scripted(BUG, SHORT), name=SHORT, window=32768)
    long = await fakes(script=scripted(BUG, LONG), name=LONG, window=131072)
    return await serving([short], [long])


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize("agent", [aider, aider_diff, opencode, qwen_code, continue_cli], ids=lambda it: it.__name__)
async def test_an_agent_mends_a_bug(
    agent: Callable[[Setup], Run], gateway: RunningGateway, setup_folders: tuple[Path, Path]
) -> None:
    repository, home = setup_folders
    setup = Setup(f"http://127.0.0.1:{gateway.port}/v1", repository, home)
    run = agent(setup)
    if shutil.which(run.command[0]) is None or shutil.which("git") is None:
        pytest.skip(f"{run.command[0]} or git is not installed: `make test-agents` installs all but git")
    asked: list[str] = []
    async with way_out(asked) as proxy:
        output = await execute(run, setup, proxy)
    assert (repository / BUG.file).read_text() == STATS.replace(BUG.wrong, BUG.right), output
    assert its_tests_pass(repository), output
    assert run.asks_elsewhere or not asked, f"it wanted more than the gateway: {asked}"
    lines = [json.loads(line) for line in await gateway.log_lines()]
    refused = [line for line in lines if line["status"] != 200]
    assert lines, output
    assert not refused, output
    await gateway.quiet()
