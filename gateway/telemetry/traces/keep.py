"""Which requests are traced, from their beginning or when they have ended.

A request is traced from its beginning if the client's traceparent says so, or by its trace id, as OpenTelemetry's
TraceIdRatioBased does it; then model servers are told. Ids that it would not choose are not even drawn: how many there
are before the next one that it does is. One that failed or took long is traced all the same when it has
ended: its spans are made of times that were kept anyway. No client can have more made than the limits allow.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple, Protocol

from gateway.config_traces import SAMPLE, TraceSettings
from gateway.telemetry.traces.context import RANDOM, SAMPLED, TRACEPARENT, TRACESTATE, Context, context_of, traceparent
from routing.length import Decision

FROM_START, BY_CLIENT, ERROR, SLOW = "sampled", "client", "error", "slow"
DROPPED = "dropped"
OUTCOMES = (FROM_START, BY_CLIENT, ERROR, SLOW, DROPPED)
"""What becomes of a trace: why it is kept, or that it is not, for there were too many."""
_FAILED = ("upstream_error", "gateway_error")  # a client's own errors are none of the server's, as for HTTP's spans
_HALF = 1 << 64
_NEVER = 1 << 62  # requests

_NOTHING: frozenset[bytes] = frozenset()
_PARENT = frozenset({TRACEPARENT})
_ALL = frozenset({TRACEPARENT, TRACESTATE})


class Endpoint(Protocol):
    host: str
    port: int
    served_json: bytes


class Asked(Protocol):
    stream: bool
    output: int | None


class Relayed(Protocol):
    first_byte_at: float
    chunks: int
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str


class Sent(Protocol):
    """One attempt. Times are the timer's. ``ended`` is 0 if that was with the request, or when the next one began.

    ``status`` is 0 without an answer, ``error`` is empty where the status says it, ``span_id`` 0 if none was sent.
    """

    model: str
    began: float
    ended: float
    status: int
    error: str
    span_id: int

    @property
    def endpoint(self) -> Endpoint: ...


class Trace:
    """Of a request that is traced from the start, or whose client sent a traceparent; others have none until they end.

    ``why`` is empty unless it is traced from the start. ``left_out``: the client's headers that must not go upstream.
    """

    __slots__ = ("left_out", "new_id", "parent", "trace_id", "why")

    def __init__(
        self, parent: Context | None, trace_id: int, why: str, left_out: frozenset[bytes], new_id: Callable[[], int]
    ) -> None:
        self.parent, self.trace_id, self.why, self.left_out, self.new_id = parent, trace_id, why, left_out, new_id

    def upstream(self, span_id: int) -> bytes:
        """The header line that an attempt carries, of a request that is traced from the start."""
        return traceparent(self.trace_id, span_id, self.flags)

    @property
    def flags(self) -> int:
        return SAMPLED | (RANDOM if self.parent is None else self.parent.flags & RANDOM)


class Ended(NamedTuple):
    """What a request came to. ``counted_at``: when it was decided, if its prompt was counted for that, else 0."""

    request_id: bytes
    route: str
    status: int
    outcome: str
    problem: str
    decision: Decision | None
    relayed: Relayed | None
    began: float
    ended: float
    counted_at: float = 0.0
    asked: Asked | None = None
    attempts: Sequence[Sent] = ()


class Sink(Protocol):
    """Where kept traces go. ``counted``: spans that were sent, and lost."""

    @property
    def counted(self) -> Mapping[str, int]: ...
    def put(self, trace: Trace, why: str, ended: Ended) -> bool:
        """Never waits; False if there is no room."""

    def close(self) -> None: ...


class Rate:
    """At most so many in each second of the timer."""

    __slots__ = ("_left", "_second", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._second, self._left = -1, 0

    def takes(self, now: float) -> bool:
        if (second := int(now)) != self._second:
            self._second, self._left = second, self.limit
        self._left -= 1
        return self._left >= 0


class Traces:
    """One process's. ``share``: of requests, where the settings name none. ``random`` need be nobody's secret."""

    def __init__(
        self, settings: TraceSettings, sink: Sink, *, share: float = SAMPLE, random: Random | None = None
    ) -> None:
        self.sink = sink
        self.outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._share, self._random = share, random or Random()
        self._by_clients, self._in_all = Rate(0), Rate(0)
        self.follow(settings)

    def follow(self, settings: TraceSettings) -> None:
        """By these settings from now on."""
        share = self._share if settings.sample is None else settings.sample
        self._bound = round(share * _HALF)
        self.slow = settings.slow
        """Seconds, above which a request is kept."""
        self.until_next = self._skipped()
        """Requests without a traceparent that come before the next one to be traced. To be counted down."""
        self._by_clients.limit, self._in_all.limit = settings.by_clients, settings.per_second

    def begin(self, headers: Sequence[tuple[bytes, bytes]], fields: Mapping[bytes, bytes], now: float) -> Trace | None:
        """Of a request with a traceparent, or that it is the turn of. ``fields``: the headers by name."""
        if TRACEPARENT in fields:
            return self._begin_given(headers, now)
        self.until_next = self._skipped()
        if not (why := self._limited(FROM_START, now)):
            return None
        trace_id = self._random.getrandbits(64) << 64 | self._random.randrange(self._bound)
        return Trace(None, trace_id or 1, why, _ALL, self._new_id)

    def _skipped(self) -> int:
        """Drawn: how many random ids the bound refuses before it takes one."""
        taken = self._bound / _HALF
        if taken in (0.0, 1.0):
            return 0 if taken else _NEVER
        return min(int(math.log(1.0 - self._random.random()) / math.log1p(-taken)), _NEVER)

    def end(self, trace: Trace | None, outcome: str, began: float, ended: float) -> str:
        """Why it is kept; empty if it is not."""
        if trace is not None and trace.why:
            return trace.why
        if outcome in _FAILED:
            return self._limited(ERROR, ended)
        return self._limited(SLOW, ended) if ended - began > self.slow else ""

    def keep(self, trace: Trace | None, why: str, ended: Ended) -> None:
        if trace is None:
            trace = Trace(None, self._random.getrandbits(128), "", _NOTHING, self._new_id)
        self.outcomes[why if self.sink.put(trace, why, ended) else DROPPED] += 1

    def close(self) -> None:
        self.sink.close()

    def _begin_given(self, headers: Sequence[tuple[bytes, bytes]], now: float) -> Trace:
        """With the client's traceparent, or one that has to be ignored."""
        parent = context_of(headers)
        trace_id = self._random.getrandbits(128) if parent is None else parent.trace_id
        why = self._why(parent, trace_id, now)
        left_out = _ALL if parent is None else _PARENT if why else _NOTHING
        return Trace(parent, trace_id, why, left_out, self._new_id)

    def _why(self, parent: Context | None, trace_id: int, now: float) -> str:
        if parent is not None:
            if not parent.sampled:
                return ""
            if self._by_clients.takes(now):
                return self._limited(BY_CLIENT, now)
        return self._limited(FROM_START, now) if trace_id % _HALF < self._bound else ""

    def _limited(self, why: str, now: float) -> str:
        if not self._in_all.takes(now):
            self.outcomes[DROPPED] += 1
            return ""
        return why

    def _new_id(self) -> int:
        return self._random.getrandbits(64) or 1
