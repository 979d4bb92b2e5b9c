"""Which requests are traced, and the little that is kept of each request until that is known.

A request is traced from its beginning if the client's traceparent says so, or by its trace id, as OpenTelemetry's
TraceIdRatioBased does it; then model servers are told. One that failed or took long is traced all the same when it has
ended: its spans are made of times that were kept anyway. No client can have more made than the limits allow.
"""

from __future__ import annotations

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
_HALF = (1 << 64) - 1

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


class Sent:
    """One attempt. ``ended`` is 0 if that was with the request, or when the next one began; ``status`` 0: no answer."""

    __slots__ = ("began", "ended", "endpoint", "error", "model", "span_id", "status")

    def __init__(self, endpoint: Endpoint, model: str, began: float, span_id: int) -> None:
        self.endpoint, self.model, self.began, self.span_id = endpoint, model, began, span_id
        self.ended = 0.0
        self.status = 0
        self.error = ""


class Trace:
    """One request's. Times are the timer's. ``why`` is empty unless it is traced from the start.

    ``left_out``: the client's headers that must not go upstream.
    """

    __slots__ = (
        "_new_id",
        "_timer",
        "counted_at",
        "left_out",
        "parent",
        "request",
        "sent",
        "span_id",
        "trace_id",
        "why",
    )

    def __init__(
        self,
        parent: Context | None,
        trace_id: int,
        why: str,
        left_out: frozenset[bytes],
        timer: Callable[[], float],
        new_id: Callable[[], int],
    ) -> None:
        self.parent, self.trace_id, self.why, self.left_out = parent, trace_id, why, left_out
        self._timer, self._new_id = timer, new_id
        self.span_id = 0
        self.counted_at = 0.0
        self.request: Asked | None = None
        self.sent: list[Sent] = []

    def counted(self) -> None:
        """The decision has been made, and the prompt was counted for it."""
        self.counted_at = self.counted_at or self._timer()

    def sending(self, endpoint: Endpoint, model: str, request: Asked) -> None:
        self.request = request
        self.sent.append(Sent(endpoint, model, self._timer(), self._new_id() if self.why else 0))

    def upstream(self) -> bytes:
        """The header line that the newest attempt carries; none where the client's goes on as it came."""
        return traceparent(self.trace_id, self.sent[-1].span_id, self.flags) if self.why else b""

    def answered(self, status: int) -> None:
        self.sent[-1].status = status

    def failed(self, error: str) -> None:
        """``error``: why the newest attempt came to nothing; empty if its status says it."""
        sent = self.sent[-1]
        sent.ended, sent.error = self._timer(), error

    @property
    def flags(self) -> int:
        return SAMPLED | (RANDOM if self.parent is None else self.parent.flags & RANDOM)


class Ended(NamedTuple):
    """What a request came to."""

    request_id: bytes
    route: str
    status: int
    outcome: str
    problem: str
    decision: Decision | None
    relayed: Relayed | None
    began: float
    ended: float


class Sink(Protocol):
    """Where kept traces go. ``counted``: spans that were sent, and lost."""

    @property
    def counted(self) -> Mapping[str, int]: ...
    def put(self, trace: Trace, why: str, ended: Ended, new_id: Callable[[], int]) -> bool:
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
        self,
        settings: TraceSettings,
        sink: Sink,
        timer: Callable[[], float],
        *,
        share: float = SAMPLE,
        random: Random | None = None,
    ) -> None:
        self.sink = sink
        self.outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._timer, self._share, self._random = timer, share, random or Random()
        self._by_clients, self._in_all = Rate(0), Rate(0)
        self.follow(settings)

    def follow(self, settings: TraceSettings) -> None:
        """By these settings from now on."""
        share = self._share if settings.sample is None else settings.sample
        self._bound = round(share * (_HALF + 1))
        self._slow = settings.slow
        self._by_clients.limit, self._in_all.limit = settings.by_clients, settings.per_second

    def begin(self, headers: Sequence[tuple[bytes, bytes]], fields: Mapping[bytes, bytes], now: float) -> Trace:
        """``fields``: the headers by name."""
        given = TRACEPARENT in fields
        parent = context_of(headers) if given else None
        trace_id = self._random.getrandbits(128) if parent is None else parent.trace_id
        why = self._why(parent, trace_id, now)
        left_out = _NOTHING
        if why or (given and parent is None):
            left_out = _ALL if parent is None else _PARENT
        return Trace(parent, trace_id, why, left_out, self._timer, self._new_id)

    def end(self, trace: Trace, outcome: str, began: float, ended: float) -> str:
        """Why it is kept; empty if it is not."""
        if trace.why:
            return trace.why
        why = ERROR if outcome in _FAILED else SLOW if ended - began > self._slow else ""
        return self._limited(why, ended)

    def keep(self, trace: Trace, why: str, ended: Ended) -> None:
        self.outcomes[why if self.sink.put(trace, why, ended, self._new_id) else DROPPED] += 1

    def close(self) -> None:
        self.sink.close()

    def _why(self, parent: Context | None, trace_id: int, now: float) -> str:
        if parent is not None:
            if not parent.sampled:
                return ""
            if self._by_clients.takes(now):
                return self._limited(BY_CLIENT, now)
        return self._limited(FROM_START, now) if trace_id & _HALF < self._bound else ""

    def _limited(self, why: str, now: float) -> str:
        if why and not self._in_all.takes(now):
            self.outcomes[DROPPED] += 1
            return ""
        return why

    def _new_id(self) -> int:
        return self._random.getrandbits(64) or 1
