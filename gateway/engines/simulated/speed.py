"""Time in the simulated server: a clock that tests can replace, and constant speeds.

Prefill is one lane: the rate is the server's, not each request's, so prompts are worked off in order of arrival.
Decoding sequences do not slow each other down.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

from gateway.engines.simulated.settings import SimulatedSettings


class Clock(Protocol):
    """Seconds. ``now`` is monotonic, ``wall`` is since the epoch, ``sleep(0)`` lets others run."""

    def now(self) -> float: ...

    def wall(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class RealClock:
    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return datetime.now(UTC).timestamp()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Speed:
    """Constant speeds, in real seconds (the time scale is already in)."""

    def __init__(self, settings: SimulatedSettings) -> None:
        self._per_prompt_token = settings.time_scale / settings.prefill_tokens_per_second
        self.per_output_token = settings.time_scale / settings.decode_tokens_per_second

    def prefill(self, tokens: int) -> float:
        return tokens * self._per_prompt_token
