"""What is kept of a request: metrics and one log line. Never its prompt, its answer or its key."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from gateway.telemetry import traces as tracing
from gateway.telemetry.log import LineLog
from gateway.telemetry.totals import Relayed, Totals
from gateway.telemetry.traces import TRACEPARENT, Ended, Sent, Trace, Traces
from routing.length import Decision

_TOGETHER = 32
"""Requests that are counted and written down together, for the code is then warm: amid the work of each request, which
displaces it from the processor's caches, it took 25 us of CPU, and together 10 (measured)."""


class Asked(Protocol):
    """The part of an exchange that is recorded."""

    request_id: bytes
    key_name: str
    shadow: bool


class Traced(Asked, Protocol):
    headers: list[tuple[bytes, bytes]]
    fields: dict[bytes, bytes]
    attempts: list[Sent]
    trace: Trace | None


class Recorder:
    """Makes a `Record` for each request. ``timer`` measures, ``wall`` is the time of day, both in seconds."""

    def __init__(
        self,
        registry: CollectorRegistry,
        timer: Callable[[], float],
        wall: Callable[[], float],
        log: LineLog | None,
        *,
        access_log: bool = True,
    ) -> None:
        """``access_log``: whether requests are written down; faults of our own always are."""
        self.timer = timer
        self._wall = wall
        self.log = log
        self._access_log = access_log
        self.totals = Totals()
        self.ended: list[Record] = []
        """What `settle` has not counted yet."""
        registry.register(self)
        self.traces: Traces | None = None
        """Set where spans are sent somewhere."""
        self._second = 0
        self._stamp = ""

    def collect(self) -> Iterable[Metric]:
        """Of prometheus_client's collectors."""
        self.settle()
        return self.totals.collect()

    def begin(self, exchange: Asked, route: str) -> Record:
        return Record(self, exchange, route)

    def begin_traced(self, exchange: Traced, route: str) -> Record:
        """Of a request that may be traced; if it is from the start, the exchange has its trace from now on."""
        record = Record(self, exchange, route)
        traces = self.traces
        if traces is not None and not exchange.shadow:  # the latter is no live traffic
            record.traces = traces
            if TRACEPARENT in exchange.fields or not traces.until_next:
                exchange.trace = record.trace = traces.begin(exchange.headers, exchange.fields, record.began)
            else:
                traces.until_next -= 1
        return record

    def settle(self) -> None:
        """Counts and writes down what has ended. To be called at each tick, and before anybody looks."""
        if not self.ended:
            return
        ended, self.ended = self.ended, []
        totals, log, lines = self.totals, self.log if self._access_log else None, []
        wall = self._wall() - self.timer() if log is not None else 0.0
        for record in ended:
            try:
                record.count(totals)
                if log is not None and not record.shadow:
                    lines.append(record.line(wall))
            except Exception as fault:  # costs what is known of this request, and nothing of the others
                self.log_fault("counting a request", fault)
        if log is not None:
            log.append(_encode_lines(lines))

    def stamp(self, at: float) -> str:
        """Seconds since 1970 in UTC; formatted anew once a second, for that costs more than the rest of a line."""
        second = int(at)
        if second != self._second:
            self._second = second
            self._stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return self._stamp + _MILLISECONDS[int((at - second) * 1000)]

    def log_fault(self, place: str, error: BaseException) -> None:
        """Where our own mistake happened: the frames, without values, which might hold a prompt.

        ``place``: the request's id, or what else was going on.
        """
        if self.log is None:
            return
        frames = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        line = {"time": self.stamp(self._wall()), "request_id": place, "fault": type(error).__name__, "frames": frames}
        self.log.append(_encode_lines([line]))


class Record:
    """One request, from its last byte to the end of its answer. `end` must be called once."""

    __slots__ = (
        "_asked",
        "_attempts",
        "_counted_at",
        "_decision",
        "_ended",
        "_key",
        "_outcome",
        "_problem",
        "_recorder",
        "_relayed",
        "_request_id",
        "_route",
        "_status",
        "began",
        "shadow",
        "trace",
        "traces",
    )

    def __init__(self, recorder: Recorder, exchange: Asked, route: str) -> None:
        self._recorder = recorder
        self._route = route
        self.began = recorder.timer()
        # Not the exchange itself: its body may be large, and this may be kept longer.
        self._request_id, self._key, self.shadow = exchange.request_id, exchange.key_name, exchange.shadow
        self._decision: Decision | None = None
        self._relayed: Relayed | None = None
        self._problem = ""
        self._outcome = ""
        self.traces: Traces | None = None
        """Where it is kept if it fails or takes long."""
        self.trace: Trace | None = None
        self._counted_at = 0.0
        self._asked: tracing.Asked | None = None
        self._attempts: Sequence[Sent] = ()

    def decided(self, decision: Decision) -> None:
        """May be called again: the last decision counts."""
        self._decision = decision
        if decision.method == "counted":
            self._counted_at = self._counted_at or self._recorder.timer()

    def relaying(self, relayed: Relayed, asked: tracing.Asked | None = None, attempts: Sequence[Sent] = ()) -> None:
        """What is to be read at the end. ``asked`` and ``attempts``: for a trace."""
        self._relayed, self._asked, self._attempts = relayed, asked, attempts

    def failed(self, code: str) -> None:
        self._problem = code

    def cancelled(self, code: str) -> None:
        """``code``: why, if it was the gateway that broke the connection off."""
        self._outcome = "cancelled"
        self._problem = code

    def end(self, status: int) -> None:
        """``status``: what the client was told, 0 if nothing."""
        recorder = self._recorder
        self._ended = recorder.timer()
        self._status = status
        if self._relayed is not None and not self._problem:
            self._problem = self._relayed.error
        if not self._outcome:
            self._outcome = "ok" if status == 200 and not self._problem else _outcome(status, self._problem)
        traces = self.traces
        if traces is not None and (
            self.trace is not None or self._outcome != "ok" or self._ended - self.began > traces.slow
        ):
            self._end_trace(traces)
        # What is large, and what belongs to connections, ends with the request.
        self._asked, self._attempts, self.trace = None, (), None
        recorder.ended.append(self)
        if len(recorder.ended) >= _TOGETHER:
            recorder.settle()

    def count(self, totals: Totals) -> None:
        decision, relayed, outcome = self._decision, self._relayed, self._outcome
        model = decision.model if decision is not None else ""
        if self.shadow:  # no live traffic: metrics of that must not change
            totals.shadow_requests[model, self._problem if self._problem == "shed" else outcome] += 1
            return
        totals.requests[self._route, model, outcome] += 1
        if decision is not None:
            totals.decisions[model, decision.method, decision.reason] += 1
            of_model = totals.models[model]
            of_model.prompt_length.observe(decision.tokens)
            if relayed is not None:
                of_model.add(decision.tokens, relayed, self.began, self._ended, whole=outcome == "ok")

    def line(self, wall: float) -> _Line:
        """Of the log. ``wall``: seconds since 1970 when the timer was at 0."""
        began, relayed = self.began, self._relayed
        line = _Line(
            self._recorder.stamp(wall + self._ended),
            self._request_id.decode(),
            self._key,
            self._route,
            self._status,
            self._outcome,
            _milliseconds(self._ended - began),
            *(self._decision or ("", -1, "", "")),
        )
        if relayed is not None and relayed.chunks:
            line.first_chunk_ms = _milliseconds(relayed.first_byte_at - began)
            line.prompt_tokens = relayed.prompt_tokens
            line.output_tokens = relayed.completion_tokens
        line.code = self._problem
        return line

    def _end_trace(self, traces: Traces) -> None:
        if why := traces.end(self.trace, self._outcome, self.began, self._ended):
            came_to = (self._request_id, self._route, self._status, self._outcome, self._problem, self._decision)
            times = (self.began, self._ended, self._counted_at)
            try:
                traces.keep(self.trace, why, Ended(*came_to, self._relayed, *times, self._asked, self._attempts))
            except Exception as error:  # a fault in there costs a trace, and no answer
                self._recorder.log_fault(self._request_id.decode(), error)


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The log line of one request: what is empty is left out."""

    time: str
    request_id: str
    key: str
    route: str
    status: int
    outcome: str
    ms: float
    model: str = ""
    tokens: int = -1
    counted: str = ""
    reason: str = ""
    first_chunk_ms: float = -1.0
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    code: str = ""


_encode_lines = msgspec.json.Encoder().encode_lines
_MILLISECONDS = tuple(f".{number:03d}Z" for number in range(1000))


def _milliseconds(seconds: float) -> float:
    return int(seconds * 1e6) / 1e3  # a quarter of what `round` takes


def _outcome(status: int, problem: str) -> str:
    if problem == "internal_error":
        return "gateway_error"
    if 400 <= status < 500:
        return "client_error"
    return "ok" if 200 <= status < 300 and not problem else "upstream_error"
