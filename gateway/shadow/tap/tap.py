"""Takes copies of sampled requests in the gateway's event loop and hands them to the shadow process.

Costs of one sampled request: a hash of its id, one list entry for each piece of its answer, one encoding; copies are
written together, so that a system call serves several. There is no more to do for a request that is not sampled than
to look its key up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from gateway.clock import PERIOD
from gateway.exchange import Exchange
from gateway.relay import LONGEST_COPY, Outcome
from gateway.request import Request
from gateway.shadow.tap.frames import Counted, Exposition, Frames, Missed, Observed, frame
from gateway.shadow.tap.sampling import OPT_OUT, Sampling, opted_out
from routing.length import Decision

LONGEST_BODY = 1024 * 1024
_BOUNDS = ("bounded", "unsplittable")  # methods that give no length
_MOST_UNDER_WAY = 4096
_MOST_HELD = 64 * 1024 * 1024  # bytes of bodies under way
_WRITTEN_AT = 32 * 1024  # bytes that are collected before they are written; else at the next tick
_MOST_UNSENT = 16 * 1024 * 1024
_RETRY = 1.0  # seconds between attempts to reach the shadow process


@dataclass(frozen=True, slots=True)
class Settings:
    """`socket`: where the shadow process listens. `source`: this process's name, which no other ever had.

    `most_per_second`: samples that are copied; more are dropped.
    """

    sampling: Sampling
    socket: Path
    source: str
    most_per_second: float


class Copy:
    """What is kept of one sampled request while it is answered. The relay appends to `pieces`.

    `model` is who answers in the end; `outcome` stays None where there was no answer; `left`: the client did not wait.
    """

    __slots__ = (
        "body",
        "bound",
        "exchange",
        "left",
        "model",
        "outcome",
        "pieces",
        "propensity",
        "route",
        "stream",
        "tokens",
    )

    def __init__(
        self, exchange: Exchange, request: Request, body: bytes, decision: Decision, propensity: float
    ) -> None:
        self.exchange = exchange
        self.route = request.route.value
        self.stream = request.stream
        self.body = body
        self.outcome: Outcome | None = None
        self.left = False
        self.model = decision.model
        self.tokens = decision.tokens
        self.bound = decision.method in _BOUNDS
        self.propensity = propensity
        self.pieces: list[bytes] = []


class Tap(asyncio.Protocol):
    """What `Serve` asks, and the connection to the shadow process. Never raises, never waits; drops when busy.

    `wall`: seconds since 1970.
    """

    def __init__(self, settings: Settings, wall: Callable[[], float]) -> None:
        self._settings = settings
        self._sampling = settings.sampling
        self._wall = wall
        self._transport: asyncio.WriteTransport | None = None
        self._lost = asyncio.Event()
        self._unwritten: list[bytearray] = []
        self._unwritten_size = 0
        self._unread = Frames()
        self._under_way = self._held = 0
        self._burst = max(settings.most_per_second, 1.0)
        self._allowed = self._burst
        self._counts_told = (-1, -1, -1)
        self._day = ""
        self._told = self._before = Counter[str](), Counter[str]()
        self._down_since: float | None = wall()
        self._connected = False  # ever
        self.live = 0
        self.sampled: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.exposition = b""
        """The newest metrics of the shadow process; empty without one."""

    # -- what a request asks ------------------------------------------------------------------------------------------

    def copy(self, exchange: Exchange, request: Request, body: bytes, decision: Decision) -> Copy | None:
        """A place for the copy of a request that has been decided; None if it is not sampled."""
        self.live += 1
        sampling = self._sampling
        propensity = sampling.propensity(exchange.key_name, decision.model)
        if not propensity or not sampling.takes(exchange.request_id, propensity):
            return None
        if opted_out(exchange.fields.get(OPT_OUT)):
            return None
        self.sampled[decision.model] += 1
        if self._transport is None:
            self.dropped["no shadow process"] += 1
        elif self._allowed < 1:
            self.dropped["over the limit"] += 1
        elif len(body) > LONGEST_BODY:
            self.dropped["too long"] += 1
        elif self._is_full() or self._transport.get_write_buffer_size() > _MOST_UNSENT:
            self.dropped["busy"] += 1
        else:
            self._allowed -= 1
            self._under_way += 1
            self._held += len(body)
            return Copy(exchange, request, body, decision, propensity)
        return None

    def _is_full(self) -> bool:
        return self._under_way >= _MOST_UNDER_WAY or self._held > _MOST_HELD

    def done(self, copy: Copy) -> None:
        """To be called once for each copy, when its request has ended in whatever way."""
        self._under_way -= 1
        self._held -= len(copy.body)
        outcome, exchange = copy.outcome, copy.exchange
        if outcome is None and not copy.left:
            self.dropped["failed"] += 1
        elif outcome is not None and outcome.bytes > LONGEST_COPY:
            self.dropped["too long"] += 1
        elif outcome is not None and (outcome.error or not copy.pieces):
            self.dropped["failed"] += 1
        else:
            observed = Observed(
                request_id=exchange.request_id.decode("latin-1"),
                at=self._wall(),
                key=exchange.key_name,
                route=copy.route,
                model=copy.model,
                prompt_tokens=copy.tokens,
                bound=copy.bound,
                propensity=copy.propensity,
                body=copy.body,
                answer=b"".join(copy.pieces) if outcome is not None else b"",
                stream=copy.stream,
                cancelled=outcome is None,
                used_in=(outcome and outcome.prompt_tokens) or 0,
                used_out=(outcome and outcome.completion_tokens) or 0,
            )
            self._send(frame(observed))

    # -- writing ------------------------------------------------------------------------------------------------------

    def _send(self, data: bytearray) -> None:
        if self._transport is None:
            self.dropped["no shadow process"] += 1
            return
        self._unwritten.append(data)
        self._unwritten_size += len(data)
        if self._unwritten_size >= _WRITTEN_AT:
            self._write()

    def _write(self) -> None:
        if self._transport is not None and self._unwritten:
            self._transport.write(b"".join(self._unwritten))
        self._unwritten.clear()
        self._unwritten_size = 0

    def tick(self) -> None:
        """To be called every quarter of a second; late ones make up for nothing."""
        self._allowed = min(self._burst, self._allowed + self._settings.most_per_second * PERIOD)
        counts = self.live, self.sampled.total(), self.dropped.total()
        if self._transport is not None and counts != self._counts_told:
            self._counts_told = counts
            self._unwritten.append(frame(self._today()))
        self._write()

    def _today(self) -> Counted:
        day = datetime.fromtimestamp(self._wall(), UTC).date().isoformat()
        if day != self._day:
            self._day, self._before = day, (Counter(self._told[0]), Counter(self._told[1]))
        self._told = Counter(self.sampled), Counter(self.dropped)
        sampled, dropped = (dict(now - before) for now, before in zip(self._told, self._before, strict=True))
        return Counted(self._settings.source, day, self.live, sampled, dropped)

    # -- the connection -----------------------------------------------------------------------------------------------

    async def keep_connected(self) -> None:
        """Until it is cancelled: the shadow process may come and go."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._lost.clear()
                with contextlib.suppress(OSError):
                    await loop.create_unix_connection(lambda: self, str(self._settings.socket))
                    await self._lost.wait()
                await asyncio.sleep(_RETRY)
        finally:
            if self._transport is not None:
                self.tick()
                self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is one, and not by its class
        self._unread = Frames()
        self._counts_told = (-1, -1, -1)
        if self._down_since is not None:
            missed = Missed(self._settings.source, self._connected, self._down_since, self._wall())
            self._unwritten.append(frame(missed))
            self._down_since = None
            self._connected = True
            self._write()

    def data_received(self, data: bytes) -> None:
        for message in self._unread.feed(data):
            if isinstance(message, Exposition):
                self.exposition = message.text

    def connection_lost(self, exc: Exception | None) -> None:
        lost = len(self._unwritten)
        self._transport = None
        self._down_since = self._wall()
        self.exposition = b""
        self.dropped["no shadow process"] += lost
        self._unwritten.clear()
        self._unwritten_size = 0
        self._lost.set()
