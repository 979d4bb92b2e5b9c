"""Runs vLLM servers side by side: starts them, and ends them in order when that is asked for or one cannot be kept up.

Only what `preflight` cannot know is found out here.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.engines.vllm.command import Launch
from gateway.engines.vllm.readiness import address
from gateway.engines.vllm.screen import Screen, screen
from gateway.engines.vllm.server import Event, GaveUp, Patience, Server, Sleep, StartFailed, Surroundings

ENDED = 0
ENDED_EARLY = 1  # by a second signal, or because vLLM did not end in its time

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _ignore(event: Event) -> None:
    pass


def run(
    launches: Sequence[Launch],
    vllm: Path,
    *,
    patience: Patience | None = None,
    key_variable: str | None = None,
    on_event: Callable[[Event], None] = _ignore,
) -> int:
    """Until SIGTERM or SIGINT, or until a server cannot be started or kept up; the exit code.

    ``key_variable``: where the gateway will find the servers' key, for the command that is shown. ``on_event`` gets
    "ready", "crashed" and "ended", each with the server's name and url.
    """
    with screen() as found:
        supervisor = Supervisor(launches, vllm, found, patience or Patience(), key_variable, on_event)
        return asyncio.run(supervisor.run())


class Supervisor:
    """``sleep`` and ``now`` (monotonic seconds) are for tests. All servers start at once."""

    def __init__(
        self,
        launches: Sequence[Launch],
        vllm: Path,
        screen: Screen,
        patience: Patience,
        key_variable: str | None = None,
        on_event: Callable[[Event], None] = _ignore,
        *,
        sleep: Sleep = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._launches = launches
        self._vllm = vllm
        self._screen = screen
        self._patience = patience
        self._key_variable = key_variable
        self._on_event = on_event
        self._sleep = sleep
        self._now = now
        self._servers: list[Server] = []
        self._asked = asyncio.Event()
        self._ending = False
        self._given_up = 0
        self._exit_code = ENDED

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.ask_to_end)
        try:
            async with asyncio.TaskGroup() as readers:
                self._servers = self._made(readers)
                await self._keep_all()
        except* StartFailed:
            self._exit_code = StartFailed.code
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
        return self._exit_code

    def ask_to_end(self) -> None:
        """The second time at once, and also while everything ends because one server has failed."""
        if self._ending:
            self._exit_code = ENDED_EARLY
            for server in self._servers:
                server.kill()
            return
        self._ending = True
        self._asked.set()
        self._screen.say("shutting down: vLLM completes the answers under way. The next signal ends at once")

    def _made(self, readers: asyncio.TaskGroup) -> list[Server]:
        around = Surroundings(
            vllm=self._vllm,
            screen=self._screen,
            patience=self._patience,
            readers=readers,
            sleep=self._sleep,
            now=self._now,
            on_event=self._on_event,
            on_first_answer=self._show_gateway,
            on_late=self._note_late,
        )
        return [Server(launch, several=len(self._launches) > 1, around=around) for launch in self._launches]

    async def _keep_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep(server)) for server in self._servers]
            try:
                await self._asked.wait()
            finally:
                self._ending = True
            for task in tasks:
                task.cancel()

    async def _keep(self, server: Server) -> None:
        """A server that cannot be kept up is given up alone; one that cannot be started ends all."""
        others = len(self._servers) > 1
        try:
            await server.keep()
        except StartFailed as failed:
            ending = "\nThe other servers complete their answers and end" if others else ""
            self._screen.say(f"Error: {failed}{ending}")
            raise
        except GaveUp as failed:
            self._given_up += 1
            left = len(self._servers) - self._given_up
            self._screen.say(f"Error: {failed}{f'. The other {left} go on' if left else ''}")
            self._exit_code = GaveUp.code
            if not left:
                self._asked.set()

    def _show_gateway(self) -> None:
        """Once all servers have answered: the command that puts the gateway in front of them."""
        if all(server.was_ready for server in self._servers):
            key = f",key-env={self._key_variable}" if self._key_variable else ""
            endpoints = (f"--endpoint {launch.model}={address(launch)}{key}" for launch in self._launches)
            self._screen.say(f"the gateway in front: yardstick serve {' '.join(endpoints)}")

    def _note_late(self) -> None:
        self._exit_code = ENDED_EARLY
