"""The gate's answer as metrics: asked again after new verdicts, by a process of its own, at a bounded cost."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from gateway.shadow.live.rates import pause_after
from gateway.shadow.report.gate_answers import Asked
from gateway.shadow.store import Evidence, StoreUnavailable

EVERY = 120.0  # seconds from one look for new verdicts to the next, at least
_pause = partial(pause_after, every=EVERY)


class GateAnswers:
    """`run` until it is cancelled. Without an answer (no store, a policy that became wrong) the last one is shown on.

    `store`: its URL. `tell` gets a line for people when it can't be answered, and why.
    """

    def __init__(self, evidence: Evidence, store: str, policy: str, tell: Callable[[str], None]) -> None:
        self._evidence, self._tell = evidence, tell
        self._asked, self._policy = msgspec.json.encode(Asked(store, policy)), Path(policy)
        self._told = ""
        self.text = b""
        """In Prometheus's text format."""

    async def run(self, pause: Callable[[float], float] = _pause) -> None:
        """`pause`: seconds until the next look, by how many the last one took."""
        seen: object = None
        while True:
            began = time.monotonic()
            with contextlib.suppress(StoreUnavailable):  # its writer tells of that
                now = await asyncio.to_thread(self._state)
                if now != seen and await self.ask():
                    seen = now
            await asyncio.sleep(pause(time.monotonic() - began))

    def _state(self) -> object:
        """Another one if there may be another answer."""
        changed = self._policy.stat().st_mtime_ns if self._policy.exists() else 0
        return changed, self._evidence.settled()

    async def ask(self) -> bool:
        """Whether there is an answer."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.shadow.report.gate_answers"), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        try:
            answer, problem = await process.communicate(self._asked)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode == 0:
            self.text, self._told = answer, ""
            return True
        last = problem.decode(errors="replace").strip().rpartition("\n")[2] or f"exit code {process.returncode}"
        if last != self._told:
            self._told = last
            self._tell(f"shadow.gate is not answered: {last}")
        return False
