"""What is kept of a request: metrics and one log line. Never its prompt, its answer or its key."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from prometheus_client import CollectorRegistry

from gateway.telemetry.log import LineLog
from gateway.telemetry.totals import Relayed, Totals
from routing.length import Decision


class Asked(Protocol):
    """The part of an exchange that is recorded."""

    request_id: bytes
    key_name: str
    shadow: bool


class Recorder:
    """Makes a `Record` for each request. ``timer`` measures, ``wall`` is the time of day, both in seconds."""

    def __init__(
        self, registry: CollectorRegistry, timer: Callable[[], float], wall: Callable[[], float], log: LineLog | None
    ) -> None:
        self.timer = timer
        self._wall = wall
        self.log = log
        self.totals = Totals()
        registry.register(self.totals)
        self._second = 0
        self._stamp = ""

    def begin(self, exchange: Asked, route: str) -> Record:
        return Record(self, exchange, route)

    def stamp(self) -> str:
        """The time of day in UTC; formatted anew once a second, for formatting costs more than the rest of a line."""
        now = self._wall()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._stamp}.{int((now - second) * 1000):03d}Z"

    def log_fault(self, place: str, error: BaseException) -> None:
        """Where our own mistake happened: the frames, without values, which might hold a prompt.

        ``place``: the request's id, or what else was going on.
        """
        if self.log is None:
            return
        frames = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        line = {"time": self.stamp(), "request_id": place, "fault": type(error).__name__, "frames": frames}
        self.log.append(msgspec.json.encode(line))


class Record:
    """One request, from its last byte to the end of its answer. `end` must be called once."""

    __slots__ = ("_began", "_decision", "_exchange", "_outcome", "_problem", "_recorder", "_relayed", "_route")

    def __init__(self, recorder: Recorder, exchange: Asked, route: str) -> None:
        self._recorder = recorder
        self._exchange = exchange
        self._route = route
        self._began = recorder.timer()
        self._decision: Decision | None = None
        self._relayed: Relayed | None = None
        self._problem = ""
        self._outcome = ""

    def decided(self, decision: Decision) -> None:
        """May be called again: the last decision counts."""
        self._decision = decision

    def relaying(self, relayed: Relayed) -> None:
        """What is to be read at the end."""
        self._relayed = relayed

    def failed(self, code: str) -> None:
        self._problem = code

    def cancelled(self, code: str) -> None:
        """``code``: why, if it was the gateway that broke the connection off."""
        self._outcome = "cancelled"
        self._problem = code

    def end(self, status: int) -> None:
        """``status``: what the client was told, 0 if nothing."""
        recorder, decision, relayed = self._recorder, self._decision, self._relayed
        ended = recorder.timer()
        if relayed is not None and not self._problem:
            self._problem = relayed.error
        model = decision.model if decision is not None else ""
        outcome = self._outcome or _outcome(status, self._problem)
        if self._exchange.shadow:  # no live traffic: metrics of that must not change, and there is no client to tell
            recorder.totals.shadow_requests[model, self._problem if self._problem == "shed" else outcome] += 1
            return
        recorder.totals.requests[self._route, model, outcome] += 1
        if decision is not None:
            recorder.totals.decisions[decision.model, decision.method, decision.reason] += 1
            totals = recorder.totals.models[model]
            totals.prompt_length.observe(decision.tokens)
            if relayed is not None:
                totals.add(decision.tokens, relayed, self._began, ended, whole=outcome == "ok")
        if recorder.log is not None:
            recorder.log.append(self._line(status, outcome, ended))

    def _line(self, status: int, outcome: str, ended: float) -> bytes:
        exchange, decision, relayed = self._exchange, self._decision, self._relayed
        line = _Line(
            self._recorder.stamp(), exchange.request_id.decode(), exchange.key_name, self._route, status, outcome
        )
        line.ms = round((ended - self._began) * 1e3, 3)
        if decision is not None:
            line.model, line.tokens, line.counted, line.reason = decision
        if relayed is not None and relayed.chunks:
            line.first_chunk_ms = round((relayed.first_byte_at - self._began) * 1e3, 3)
            line.prompt_tokens = relayed.prompt_tokens
            line.output_tokens = relayed.completion_tokens
        line.code = self._problem
        return _encode_line(line)


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The log line of one request: what is empty is left out."""

    time: str
    request_id: str
    key: str
    route: str
    status: int
    outcome: str
    ms: float = -1.0
    model: str = ""
    tokens: int = -1
    counted: str = ""
    reason: str = ""
    first_chunk_ms: float = -1.0
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    code: str = ""


_encode_line = msgspec.json.Encoder().encode


def _outcome(status: int, problem: str) -> str:
    if problem == "internal_error":
        return "gateway_error"
    if 400 <= status < 500:
        return "client_error"
    return "ok" if 200 <= status < 300 and not problem else "upstream_error"
