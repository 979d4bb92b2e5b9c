"""One vLLM process with all the processes that it starts, as a scope that leaves none of them behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from gateway.config import environment_with
from gateway.engines.vllm.command import Launch
from gateway.engines.vllm.output import Lines

_GUARD = Path(__file__).with_name("guard.py")
_PIECE = 64 * 1024  # bytes read at once

_LAST_LINES = 5.0  # seconds for what was printed before the end

OnLine = Callable[[str, bool], None]


class VllmProcess:
    """The process of the guard, which ends when vLLM's own does; both are in one group."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    @property
    def manner(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        if code is None:
            return "runs"
        number = -code if code < 0 else code - 128
        if number in signal.valid_signals():
            hint = ", as the kernel does where memory is short" if number == signal.SIGKILL else ""
            return f"was ended by {signal.Signals(number).name}{hint}"
        return f"ended with exit code {code}"

    async def wait(self) -> None:
        await self._process.wait()

    async def stop(self, seconds: float) -> bool:
        """Asks it to end, and waits that long; then everything is killed. Whether it ended by itself."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
            return False
        return True

    def kill(self) -> None:
        """At once, whatever is left of its group: a crash of vLLM's API server leaves its engine and workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def running(
    launch: Launch, vllm: Path, on_line: OnLine, readers: asyncio.TaskGroup, patience: float
) -> AsyncIterator[VllmProcess]:
    """Ends with everything dead and its output read. ``readers`` has to outlive the scope.

    ``patience``: seconds that vLLM has to end by itself if this process is killed. Raises OSError if a file cannot be
    written or the process not be started.
    """
    for path, text in launch.files.items():
        _write_whole(path, text)
    lifeline, held = os.pipe()  # whose closing tells the guard that we are gone
    output, written = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(_GUARD), str(patience), str(vllm), *launch.arguments),
            stdin=lifeline,
            stdout=written,
            stderr=written,
            env=environment_with(launch.environment),
            start_new_session=True,  # a group of its own: a terminal's Ctrl-C must not reach it past us
        )
    except BaseException:
        os.close(held)
        os.close(output)
        raise
    finally:
        os.close(lifeline)
        os.close(written)
    found = VllmProcess(process)
    reading = readers.create_task(_read(output, on_line))
    try:
        yield found
    finally:
        found.kill()
        await process.wait()
        os.close(held)
        await asyncio.wait({reading}, timeout=_LAST_LINES)
        reading.cancel()  # what has left the group may hold the pipe for as long as it lives


def _write_whole(path: Path, text: str) -> None:
    """A server that is starting beside this one may read the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


async def _read(descriptor: int, on_line: OnLine) -> None:
    """To the end, which comes once the last process that can write is gone."""
    reader = asyncio.StreamReader(limit=_PIECE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    lines = Lines()
    try:
        while data := await reader.read(_PIECE):
            for line, stays in lines.feed(data):
                on_line(line, stays)
        for line, stays in lines.end():
            on_line(line, stays)
    finally:
        transport.close()
