"""`yardstick engine vllm --tiny` with real vLLM: started, asked, crashed, drained, and refused by vLLM itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fakes.client import post
from tests.fakes.process import ServeProcess

from .servers import vllm_command

MODEL = "codegeex4-all-9b"
SECONDS = 600.0  # for a start, on a busy machine
CHAT = "/v1/chat/completions"


@contextlib.asynccontextmanager
async def engine(*more: str) -> AsyncIterator[ServeProcess]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "engine", "vllm", "--model", MODEL, "--tiny", "--port", str(port)),
        *("--vllm", str(vllm_command()), *more),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("VLLM_")},
        start_new_session=True,
    )
    found = ServeProcess(process)
    found.port = port
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(found.read_lines())
        try:
            yield found
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await reading  # which ends with the last of vLLM's processes, as its guard sees to it


async def chat(server: ServeProcess, tokens: int, *, stream: bool = False, after: int | None = None) -> bytes:
    """The whole answer. ``after`` so many bytes of it, SIGTERM is sent."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Write quicksort."}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": stream,
        "stream_options": {"include_usage": True} if stream else None,
    }
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(post(CHAT, json.dumps(body).encode(), [("Connection", "close")]))
        answer = b""
        while piece := await reader.read(65_536):
            answer += piece
            if after is not None and len(answer) >= after:
                server.signal(signal.SIGTERM)
                after = None
        return answer
    finally:
        writer.close()


def processes(root: int) -> Iterator[tuple[int, str]]:
    """All that it has started, and what they are called."""
    for listed in Path(f"/proc/{root}/task").glob("*/children"):
        for pid in map(int, listed.read_text().split()):
            yield pid, Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            yield from processes(pid)


def _lives(pid: int) -> bool:
    """Not so a zombie: it waits only for somebody to read its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def ended(server: ServeProcess) -> int:
    async with asyncio.timeout(SECONDS):
        return await server._process.wait()


async def test_it_answers_survives_a_crash_and_drains() -> None:
    async with engine() as server:
        await server.says("is ready on", seconds=SECONDS)
        line = await server.says("the gateway in front")
        assert f"--endpoint {MODEL}=http://127.0.0.1:{server.port}" in line
        assert b'"completion_tokens":8' in await chat(server, 8)

        (core,) = [pid for pid, name in processes(server.pid) if "EngineCore" in name]
        os.kill(core, signal.SIGKILL)
        await server.says("restart 1 of 5 in 1 s", seconds=SECONDS)
        await server.says("is ready on", times=2, seconds=SECONDS)
        assert b'"completion_tokens":8' in await chat(server, 8)

        answer = await chat(server, 400, stream=True, after=2_000)
        assert b'"completion_tokens":400' in answer
        assert answer.rstrip(b"\r\n0").endswith(b"data: [DONE]")
        assert await ended(server) == 0


async def test_sigkill_leaves_none_of_its_processes() -> None:
    async with engine() as server:
        await server.says("is ready on", seconds=SECONDS)
        started = list(processes(server.pid))
        assert len(started) >= 3  # the guard, the API server, the engine
        server.signal(signal.SIGKILL)
        async with asyncio.timeout(SECONDS):
            await server._process.wait()
            while any(_lives(pid) for pid, _ in started):  # noqa: ASYNC110 - no children of ours
                await asyncio.sleep(0.1)


async def test_tensor_parallel() -> None:
    async with engine("--tensor-parallel", "2") as server:
        await server.says("is ready on", seconds=SECONDS)
        assert sum("VLLM::Worker" in name for _, name in processes(server.pid)) == 2
        assert b'"completion_tokens":8' in await chat(server, 8)
        server.signal(signal.SIGTERM)
        assert await ended(server) == 0


@pytest.mark.parametrize(
    ("flags", "advice"),
    [
        (("--kv-cache-memory-bytes", "1048576"), r"--window \d+ would fit"),
        (("--no-such-flag",), "vLLM refused its command line"),
    ],
    ids=["cache", "flag"],
)
async def test_death_during_the_start(flags: tuple[str, ...], advice: str) -> None:
    async with engine("--", *flags) as server:
        await server.says(f"What to do: .*{advice}", seconds=SECONDS)
        assert await ended(server) == 4
