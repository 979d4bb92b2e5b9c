"""The supervisor as a process of its own: signals, orphans, and what it makes of vLLM's lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.engines.vllm.output import LONGEST_LINE, Lines, Start
from tests.fakes.process import ServeProcess
from tests.fakes.supervised import (
    MODEL,
    fake_vllm,
    free_port,
    none_alive,
    starts,
)


@pytest.fixture
def vllm(tmp_path: Path) -> Path:
    return fake_vllm(tmp_path)


class TestProcess:
    """The command itself, whose signals and exit codes an init system sees."""

    @contextlib.asynccontextmanager
    async def engine(self, vllm: Path, tmp_path: Path, *more: str, **orders: Any) -> AsyncIterator[ServeProcess]:
        (tmp_path / "weights").mkdir(exist_ok=True)
        (tmp_path / "weights" / "config.json").touch()
        nvidia_smi = vllm.with_name("nvidia-smi")
        nvidia_smi.write_text("#!/bin/sh\necho 0, H100, 81559, 81000\n")
        nvidia_smi.chmod(0o755)
        orders = {"starts": str(tmp_path / "starts"), **orders}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "engine", "vllm", "--model", MODEL, "--port", str(free_port())),
            *("--vllm", str(vllm), "--weights", str(tmp_path / "weights"), "--files", str(tmp_path / "files"), *more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                "FAKE_VLLM": json.dumps(orders),
                "PATH": f"{nvidia_smi.parent}:{os.environ['PATH']}",
            },
            start_new_session=True,
        )
        found = ServeProcess(process)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(found.read_lines())
            try:
                yield found
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
                await reading

    async def test_sigterm(self, vllm: Path, tmp_path: Path) -> None:
        async with self.engine(vllm, tmp_path, "--json") as engine:
            await engine.says("is ready on")
            engine.signal(signal.SIGTERM)
            assert await engine.ended() == 0
            stdout = engine._process.stdout
            assert stdout is not None
            events = [json.loads(line) for line in (await stdout.read()).splitlines()]
        assert [event["event"] for event in events] == ["ready", "ended"]
        assert any("complete" in line for line in engine.said)

    async def test_sigkill_leaves_no_orphan(self, vllm: Path, tmp_path: Path) -> None:
        async with self.engine(vllm, tmp_path, children=True) as engine:
            await engine.says("is ready on")
            engine.signal(signal.SIGKILL)
            await none_alive(starts(tmp_path)[0])

    async def test_a_failed_start(self, vllm: Path, tmp_path: Path) -> None:
        async with self.engine(vllm, tmp_path, prints=["ValueError: no"], exits=1) as engine:
            assert await engine.ended() == 4
        assert any(line.startswith(f"Error: {MODEL}: vLLM ended with exit code 1") for line in engine.said)


class TestOutput:
    def test_lines_are_cut_where_they_end_wherever_the_pieces_are(self) -> None:
        data = "eins\nzwei ü\r\n 10%\r 20%\r\n\nlast".encode()
        whole = [("eins", True), ("zwei ü", True), (" 10%", False), (" 20%", True), ("last", True)]
        for size in (3, 5, 100):
            lines = Lines()
            found = [line for start in range(0, len(data), size) for line in lines.feed(data[start : start + size])]
            assert [text for text, _ in [*found, *lines.end()]] == [text for text, _ in whole]

    def test_a_line_without_an_end_is_held_in_bounds(self) -> None:
        lines = Lines()
        found = [text for _ in range(64) for text, _ in lines.feed(b"x" * 4096)]
        assert {len(text) for text in found} == {LONGEST_LINE}
        assert sum(map(len, found)) == 64 * 4096

    def test_what_would_steer_a_terminal_is_taken_out(self) -> None:
        assert next(Lines().feed(b"a\x1b[2Jb\tc\n"))[0] == "a?[2Jb\tc"

    def test_stages(self) -> None:
        start = Start()
        seen = []
        for line in (
            "(EngineCore pid=1) INFO [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config:",
            "Loading safetensors checkpoint shards:  40% Completed | 2/5 [00:01<00:02]",
            "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  10%|#  | 5/51",
            "(EngineCore pid=1) INFO [kv_cache_utils.py:2327] GPU KV cache size: 257,615 tokens, Maximum concurrency",
        ):
            start.take(line, stays=True)
            seen.append((start.stage, start.percent))
        assert seen == [
            ("starting the engine", None),
            ("loading the weights", 40),
            ("capturing graphs", 10),
            ("capturing graphs", 10),
        ]
        assert start.kv_cache_tokens == 257_615
