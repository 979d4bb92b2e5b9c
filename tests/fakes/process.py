"""`yardstick serve` in a process of its own, in front of fakes: what it says is read line by line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.client import DEADLINE, Client, get
from tests.fakes.http import Message

_START = 40.0  # seconds, on a machine that has other things to do
_LONGEST_END = 30.0
"""Seconds. The process beside a gateway gives what is going on 12 of them, and is slow on a busy machine."""


class ServeProcess:
    """``said`` are its lines so far; ``port`` is where it listens."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._news = asyncio.Event()
        self.said: list[str] = []
        self.port = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def client(self) -> Client:
        return Client(self.port)

    async def ask(self, data: bytes) -> Message:
        async with self.client() as client:
            return await client.ask(data)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def says(self, pattern: str, *, times: int = 1, seconds: float = DEADLINE) -> str:
        """Waits for the n-th line that has the pattern in it."""
        async with asyncio.timeout(seconds):
            while len(found := [line for line in self.said if re.search(pattern, line)]) < times:
                self._news.clear()
                await self._news.wait()
        return found[times - 1]

    async def refuses(self) -> None:
        """Waits until the port is closed."""
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    await self.ask(get("/health/live"))
                except (ConnectionError, AssertionError):  # refused, or accepted and closed a moment before that
                    return

    async def ended(self) -> int:
        """Waits for the end: its exit code."""
        async with asyncio.timeout(_LONGEST_END):
            return await self._process.wait()

    async def read_lines(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.said.append(line.decode().rstrip())
            self._news.set()

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def stop_listening(self) -> None:
        """Closes the pipe that it says its lines to."""
        self._process._transport.get_pipe_transport(2).close()  # type: ignore[attr-defined]

    def children(self) -> list[int]:
        """The processes that it has started, and that have not ended."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in listed]


@contextlib.asynccontextmanager
async def serve_process(
    config: Path, *arguments: str, environment: dict[str, str] | None = None, log: Path | None = None
) -> AsyncIterator[ServeProcess]:
    """Runs until the scope ends, then is killed, with what it has started, if it is still there.

    ``log``: where its log lines go; default: nowhere.
    """
    process = await _started(config, arguments, environment, log or Path(os.devnull))
    found = ServeProcess(process)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(found.read_lines())
        try:
            line = await found.says(r"yardstick .* on http://", seconds=_START)
            match = re.search(r":(\d+) ", line)
            assert match is not None
            found.port = int(match[1])
            await found.says("serves", seconds=_START)
            await _accepting(found.port)
            yield found
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await reading  # to the end of what they said


async def _started(
    config: Path, arguments: Sequence[str], environment: dict[str, str] | None, log: Path
) -> asyncio.subprocess.Process:
    lines = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--config", str(config), *arguments),
            stdout=lines,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    finally:
        os.close(lines)


async def _accepting(port: int) -> None:
    """Until somebody listens: between the look at the endpoints and that there is a moment."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0)
                continue
            writer.close()
            return


def write_config(path: Path, urls: dict[str, list[str]], **settings: Any) -> Path:
    """``urls``: by model. Written beside and moved, as configuration tools do."""
    data: dict[str, Any] = {
        "port": 0,
        "access_log": False,
        "pools": [{"model": model, "endpoints": [{"url": url} for url in own]} for model, own in urls.items()],
    }
    new = path.with_suffix(".new")
    new.write_text(yaml.safe_dump(data | settings))
    new.replace(path)
    return path
