"""`yardstick engine vllm`'s supervisor with a fake `vllm` command, a clock of its own and a screen that remembers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from gateway.engines.vllm.command import Launch
from gateway.engines.vllm.server import Patience
from gateway.engines.vllm.supervise import Supervisor
from tests.fakes.client import DEADLINE
from tests.fakes.started import free_port

MODEL = "codegeex4-all-9b"
PATIENCE = Patience(restarts=2, start=1e9, health_failures=10**6)  # its clock runs ahead of the processes
COMMAND = Path(__file__).with_name("vllm_command.py")


class FastClock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)


class Transcript:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stages: list[tuple[str | None, int | None]] = []
        self._news = asyncio.Event()

    def say(self, line: str) -> None:
        self.lines += line.splitlines()
        self._news.set()

    def show_stage(self, server: str, stage: str | None, percent: int | None = None) -> None:
        self.stages.append((stage, percent))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def says(self, text: str, times: int = 1) -> None:
        try:
            async with asyncio.timeout(DEADLINE):
                while sum(text in line for line in self.lines) < times:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not said {times} times, only:\n{self.text}") from None


class Supervised:
    def __init__(self, supervisor: Supervisor, screen: Transcript, clock: FastClock) -> None:
        self.supervisor = supervisor
        self.screen = screen
        self.clock = clock
        self.events: list[Any] = []
        self.task: asyncio.Task[int]

    async def code(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await self.task

    async def end(self) -> int:
        self.supervisor.ask_to_end()
        return await self.code()


def fake_vllm(tmp_path: Path) -> Path:
    """A command of that name in a folder of its own."""
    command = tmp_path / "bin" / "vllm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {COMMAND} "$@"\n')
    command.chmod(0o755)
    return command


def launch_of(tmp_path: Path, *more: str, **orders: Any) -> Launch:
    port = free_port()
    orders = {"starts": str(tmp_path / "starts"), **orders}
    return Launch(
        model=MODEL,
        arguments=(
            *("serve", "w/w", "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port)),
            *more,
        ),
        environment={"FAKE_VLLM": json.dumps(orders)},
        files={},
        host="127.0.0.1",
        port=port,
        gpus=1,
        tiny=True,
    )


def starts(tmp_path: Path) -> list[list[int]]:
    """Process ids, for each start."""
    return [[int(pid) for pid in line.split()] for line in (tmp_path / "starts").read_text().splitlines()]


async def none_alive(pids: Sequence[int]) -> None:
    """Killed processes go to whoever reaps them: a zombie counts as gone."""
    async with asyncio.timeout(DEADLINE):
        while any(_alive(pid) for pid in pids):  # noqa: ASYNC110 - they are nobody's children here
            await asyncio.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@contextlib.asynccontextmanager
async def supervised(vllm: Path, *launches: Launch, patience: Patience = PATIENCE) -> AsyncIterator[Supervised]:
    screen, clock = Transcript(), FastClock()
    events: list[Any] = []
    supervisor = Supervisor(launches, vllm, screen, patience, "A_KEY", events.append, sleep=clock.sleep, now=clock.now)
    found = Supervised(supervisor, screen, clock)
    found.events = events
    async with asyncio.TaskGroup() as group:
        found.task = group.create_task(supervisor.run())
        try:
            yield found
        finally:
            supervisor.ask_to_end()
            supervisor.ask_to_end()
