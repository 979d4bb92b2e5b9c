"""One vLLM server: started, asked until it answers, watched, restarted after a crash."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.engines.vllm.command import API_KEY, Launch
from gateway.engines.vllm.options import number
from gateway.engines.vllm.output import Start
from gateway.engines.vllm.process import VllmProcess, running
from gateway.engines.vllm.readiness import Door, address
from gateway.engines.vllm.screen import Screen
from gateway.upstream_connection import Broken, Unsent

START_FAILED = 4
GAVE_UP = 5

Sleep = Callable[[float], Awaitable[None]]
Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Times in seconds.

    ``start``: 40B weights from a network disk take many minutes. ``health_failures`` in a row, each after ``period`` or
    an unanswered ``answer``, are taken for a crash: /health is answered beside the engine's work, so that no prompt
    delays it for a minute. ``settled``: a server that lived that long begins anew with the pauses between restarts.
    ``margin``: what ending takes beyond vLLM's own --shutdown-timeout.
    """

    start: float = 3600.0
    poll: float = 0.25
    period: float = 5.0
    answer: float = 10.0
    health_failures: int = 12
    restarts: int = 5
    first_pause: float = 1.0
    longest_pause: float = 60.0
    settled: float = 600.0
    margin: float = 30.0


class StartFailed(Exception):
    """The first start of a server; the message says why, as far as vLLM's lines tell, and what to do."""

    code = START_FAILED


class GaveUp(Exception):
    """A server crashed again and again."""

    code = GAVE_UP


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all servers have in common. ``now``: monotonic seconds. ``readers`` outlives the servers' own tasks.

    ``on_event`` gets "ready", "crashed" and "ended" with the server's name and url. ``on_first_answer``: a server has
    become ready for the first time. ``on_late``: one did not end in its time.
    """

    vllm: Path
    screen: Screen
    patience: Patience
    readers: asyncio.TaskGroup
    sleep: Sleep
    now: Callable[[], float]
    on_event: Callable[[Event], None]
    on_first_answer: Callable[[], None]
    on_late: Callable[[], None]


class Server:
    """One launch, and its process while there is one. ``was_ready``: it has answered at least once."""

    def __init__(self, launch: Launch, *, several: bool, around: Surroundings) -> None:
        self.launch = launch
        self.name = f"{launch.model}:{launch.port}" if several else launch.model
        self.was_ready = False
        self._ready_at: float | None = None  # when it became ready since its last start
        self._prefix = f"[{self.name}] " if several else ""
        self._around = around
        self._patience = around.patience
        self._door = Door(launch)
        self._start: Start | None = None
        self._process: VllmProcess | None = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    async def keep(self) -> None:
        """Until it is cancelled. Raises StartFailed, or GaveUp after too many crashes in a row."""
        around, patience = self._around, self._patience
        crashes = 0
        while True:
            reason, start = await self._live()
            said = self._obituary(f"{self.name}: {reason}", start)
            if not self.was_ready:
                raise StartFailed(said)
            lived = self._ready_at is not None and around.now() - self._ready_at >= patience.settled
            crashes = 1 if lived else crashes + 1
            self._tell("crashed", reason=reason, in_a_row=crashes)
            if crashes > patience.restarts:
                raise GaveUp(f"{said}\nNot restarted again: {crashes} crashes in a row (--max-restarts)")
            pause = min(patience.longest_pause, patience.first_pause * 2 ** (crashes - 1))
            around.screen.say(f"{said}\n{self.name}: restart {crashes} of {patience.restarts} in {pause:g} s")
            await around.sleep(pause)

    async def _live(self) -> tuple[str, Start | None]:
        """From start to crash: the crash in words, and what it printed if it was not ready by then."""
        around = self._around
        start = self._start = Start()
        self._ready_at = None
        around.screen.show_stage(self.name, start.stage)
        try:
            async with running(
                self.launch, around.vllm, self._take_line, around.readers, self._seconds_to_end
            ) as process:
                self._process = process
                try:
                    given_up = await self._start_and_watch(process, start)
                except asyncio.CancelledError:
                    if not await process.stop(self._seconds_to_end):
                        around.screen.say(f"{self.name}: vLLM did not end in its time and was killed")
                        around.on_late()
                    self._tell("ended")
                    raise
        except OSError as error:
            raise StartFailed(f"{self.name}: {error.filename or around.vllm}: {error.strerror}") from None
        finally:
            self._process = None
            around.screen.show_stage(self.name, None)
        when = " before it was ready" if self._start else ""
        return given_up or f"vLLM {process.manner}{when}", self._start

    async def _start_and_watch(self, process: VllmProcess, start: Start) -> str | None:
        """None if it ended by itself, else why it was given up."""
        began = self._around.now()
        while not await self._ends_within(process, self._patience.poll):
            try:
                window = await self._ask(process)
            except Broken as error:
                return f"another server answers on {address(self.launch)}: {error}"
            except (Unsent, TimeoutError):
                if self._around.now() - began > self._patience.start:
                    return (
                        f"vLLM did not answer within {self._patience.start:g} s and was killed (last seen:"
                        f" {start.stage}). If it needs longer, --start-timeout gives it more"
                    )
            else:
                self._note_ready(start, window, self._around.now() - began)
                return await self._watch(process)
        return None

    async def _ask(self, process: VllmProcess) -> int | None:
        """The window, once it is ready. Raises Unsent or TimeoutError before, Broken if it is another server."""
        if not await self._door.is_healthy(self._patience.answer):
            raise Unsent("not ready yet")
        try:
            return await self._door.window(self._patience.answer)
        except Broken:
            if process.has_ended:  # while it was asked
                raise Unsent("it has ended") from None
            raise

    async def _watch(self, process: VllmProcess) -> str | None:
        failed = 0
        while not await self._ends_within(process, self._patience.period):
            failed = 0 if await self._door.is_healthy(self._patience.answer) else failed + 1
            if failed >= self._patience.health_failures and not process.has_ended:
                return f"vLLM did not answer /health {failed} times in a row and was killed"
        return None

    async def _ends_within(self, process: VllmProcess, seconds: float) -> bool:
        async with asyncio.TaskGroup() as group:
            tasks = (group.create_task(process.wait()), group.create_task(self._nap(seconds)))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        return process.has_ended

    async def _nap(self, seconds: float) -> None:
        await self._around.sleep(seconds)

    def _note_ready(self, start: Start, window: int | None, seconds: float) -> None:
        first, self.was_ready = not self.was_ready, True
        self._ready_at = self._around.now()
        self._start = None  # from here on its lines are not looked at
        around = self._around
        around.screen.show_stage(self.name, None)
        facts = [f"window {window:,} tokens"] if window else []
        if start.kv_cache_tokens:
            facts.append(f"KV cache {start.kv_cache_tokens:,} tokens")
        around.screen.say(
            f"{self.launch.model} is ready on {address(self.launch)} after {seconds:.0f} s: {', '.join(facts)}"
        )
        self._tell("ready", window=window, kv_cache_tokens=start.kv_cache_tokens, seconds=round(seconds, 1))
        if first:
            around.on_first_answer()

    def _take_line(self, line: str, stays: bool) -> None:
        start = self._start
        if stays:
            self._around.screen.say(self._prefix + line)
        if start is not None:
            start.take(line, stays=stays)
            self._around.screen.show_stage(self.name, start.stage, start.percent)

    @property
    def _seconds_to_end(self) -> float:
        return (number(self.launch.arguments, "--shutdown-timeout") or 0) + self._patience.margin

    def _obituary(self, text: str, start: Start | None) -> str:
        if start is None:
            return text
        words = [f"  {line}" for line in start.last_words()]
        advice = start.advice() or f"the lines above tell more; its command: {self._command_line()}"
        return "\n".join([f"{text}.", *(["Its last words:", *words] if words else []), f"What to do: {advice}"])

    def _command_line(self) -> str:
        """Without the key, which stands in the environment."""
        added = [f"{name}={shlex.quote(value)}" for name, value in self.launch.environment.items() if name != API_KEY]
        return " ".join([*added, shlex.join([str(self._around.vllm), *self.launch.arguments])])

    def _tell(self, event: str, **more: Any) -> None:
        self._around.on_event(
            {"event": event, "server": self.name, "model": self.launch.model, "url": address(self.launch), **more}
        )
